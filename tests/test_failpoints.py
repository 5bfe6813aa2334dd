"""Points that are named are called, points that are called are named, and in a process that nobody told to fail they do nothing."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from billing import failpoints
from billing.failpoints import EXIT_CODE, POINTS, BadFailpoints, Failed, arm, failpoint, listen

CORE = Path(failpoints.__file__).parent


@pytest.fixture(autouse=True)
def silence() -> Iterator[None]:
    yield
    listen(None)


def _called() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for path in CORE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "failpoint":
                assert isinstance(node.args[0], ast.Constant), f"{path.name}:{node.lineno}: a point has a constant name"
                found.setdefault(str(node.args[0].value), []).append(path.name)
    return found


def test_every_point_is_called_in_one_place_and_every_call_is_in_the_list() -> None:
    called = _called()

    assert set(called) == set(POINTS)
    assert [name for name, places in called.items() if len(places) != 1 and name != "write.table"] == []


def test_point_does_nothing_where_nobody_listens() -> None:
    failpoint("commit.before")

    assert "BILLING_FAILPOINTS" not in os.environ


def test_listener_hears_the_point_and_where() -> None:
    heard: list[str] = []
    listen(heard.append)

    failpoint("commit.before")
    failpoint("hook.before", "shelf", "on_items_paid")

    assert heard == ["commit.before", "hook.before.shelf.on_items_paid"]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("commit.before=raise", Failed),
        ("commit.before=raise(KeyboardInterrupt)", KeyboardInterrupt),
        ("commit.before=raise(psycopg.OperationalError)", psycopg.OperationalError),
        (" commit.after=exit ; commit.before = raise(MemoryError)".replace(" = ", "="), MemoryError),
    ],
)
def test_point_raises_what_the_text_names(text: str, error: type[BaseException]) -> None:
    arm(text)

    with pytest.raises(error):
        failpoint("commit.before")


def test_steps_follow_one_another_as_often_as_their_counts_say(capsys: pytest.CaptureFixture[str]) -> None:
    arm("commit.before=2*off->1*raise->1*sleep(1)->raise(MemoryError)")

    failpoint("commit.before")
    failpoint("commit.before")
    with pytest.raises(Failed):
        failpoint("commit.before")
    failpoint("commit.before")
    for _ in range(2):
        with pytest.raises(MemoryError):
            failpoint("commit.before")

    assert capsys.readouterr().err.startswith("WARNING: BILLING_FAILPOINTS=")


def test_last_step_with_a_count_passes_afterwards() -> None:
    arm("commit.before=1*raise")

    with pytest.raises(Failed):
        failpoint("commit.before")
    failpoint("commit.before")


def test_name_without_a_place_means_every_place() -> None:
    arm("hook.before.shelf=raise")

    failpoint("hook.before", "desk", "on_items_paid")
    failpoint("hook.before", "shelfish", "on_items_paid")
    with pytest.raises(Failed):
        failpoint("hook.before", "shelf", "on_items_paid")


@pytest.mark.parametrize(
    "text",
    ["nowhere=exit", "commit.before", "commit.before=", "commit.before=jump", "commit.before=exit->exit", "commit.before=raise(int)",
     "commit.before=raise(no.such)", "commit.before=sleep(long)", "=exit", "commit=exit"],
)  # fmt: skip
def test_text_that_can_not_be_read_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(BadFailpoints, match=r"Example: commit\.before=exit"):
        arm(text)

    failpoint("commit.before")


def test_exit_ends_the_process_at_once_and_says_so_before(tmp_path: Path) -> None:
    program = "import atexit; from billing.failpoints import *; atexit.register(print, 'late'); arm('commit.before=exit'); failpoint('commit.before')"

    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert (ended.returncode, ended.stdout) == (EXIT_CODE, "")
    assert ended.stderr.startswith("WARNING: BILLING_FAILPOINTS=commit.before=exit")


@pytest.mark.parametrize(("text", "code"), [("unit.begin=exit", EXIT_CODE), ("nowhere=exit", 6)])
def test_command_fails_where_its_environment_says_so(text: str, code: int, sqlite_url: str) -> None:
    environment: dict[str, Any] = {**os.environ, "BILLING_FAILPOINTS": text, "BILLING_DATABASE_URL": sqlite_url}

    ended = subprocess.run(
        [sys.executable, "-c", "from billing.interfaces.cli import main; main()", "clinic", "list"],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )

    assert ended.returncode == code, ended.stderr
