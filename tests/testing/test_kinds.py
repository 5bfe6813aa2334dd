"""Which tests run on which kind of database."""

from types import SimpleNamespace
from typing import Any

import pytest

from billing.testing import kinds


class Run:
    """A run of pytest, as far as the choice looks at it."""

    def __init__(self, seed: int) -> None:
        self.deselected: list[Any] = []
        self.hook = SimpleNamespace(pytest_deselected=self.drop)
        self._seed = seed

    def drop(self, items: list[Any]) -> None:
        self.deselected.extend(items)

    def getoption(self, name: str, default: Any) -> Any:
        return self._seed if name == "randomly_seed" else default


def case(number: int, kind: str | None, *, marked: bool = False) -> Any:
    callspec = SimpleNamespace(params={"database_url": kind} if kind else {})
    return SimpleNamespace(nodeid=f"test_{number}[{kind}]", callspec=callspec, get_closest_marker=lambda name: marked or None)


def chosen(seed: int, *, marked: bool = False) -> list[str]:
    items = [case(number, kind, marked=marked) for number in range(200) for kind in (*kinds.KINDS, None)]
    kinds.pytest_collection_modifyitems(Run(seed), items)  # type: ignore[arg-type]
    return [item.nodeid for item in items]


@pytest.fixture(autouse=True)
def nothing_named(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.delenv(kinds.VARIABLE, raising=False)
    return monkeypatch


def of(kind: str, nodes: list[str]) -> list[str]:
    return [node for node in nodes if node.endswith(f"[{kind}]")]


def test_all_run_on_sqlite_and_postgresql_and_a_share_on_the_stand_in() -> None:
    nodes = chosen(1)

    assert [len(of(kind, nodes)) for kind in ("sqlite", "postgresql", "None")] == [200, 200, 200]
    assert 200 / kinds.SHARE / 2 < len(of("partitioned", nodes)) < 200 / kinds.SHARE * 2


def test_every_test_has_its_turn_and_a_seed_repeats_the_choice() -> None:
    seen = {node for seed in range(100) for node in of("partitioned", chosen(seed))}

    assert len(seen) == 200
    assert chosen(7) == chosen(7) != chosen(8)


def test_marked_test_runs_on_the_stand_in_each_time() -> None:
    assert len(of("partitioned", chosen(1, marked=True))) == 200


def test_named_kinds_run_for_all(nothing_named: pytest.MonkeyPatch) -> None:
    nothing_named.setenv(kinds.VARIABLE, "partitioned, sqlite")

    nodes = chosen(1)

    assert [len(of(kind, nodes)) for kind in (*kinds.KINDS, "None")] == [200, 0, 200, 200]


def test_unknown_kind_is_refused(nothing_named: pytest.MonkeyPatch) -> None:
    nothing_named.setenv(kinds.VARIABLE, "sqlite,oracle")

    with pytest.raises(pytest.UsageError, match="names oracle"):
        chosen(1)


def test_what_is_left_out_is_counted_as_deselected() -> None:
    run, items = Run(1), [case(number, "partitioned") for number in range(50)]

    kinds.pytest_collection_modifyitems(run, items)  # type: ignore[arg-type]

    assert len(run.deselected) + len(items) == 50
    assert run.deselected
