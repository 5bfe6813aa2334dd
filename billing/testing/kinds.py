"""Which kinds of database the tests run on: SQLite and PostgreSQL for all, the stand-in for a cluster for a share that rotates with the seed.

`BILLING_TEST_DATABASES=sqlite,postgresql,partitioned` (or one of them) names them for all tests; what is left out is shown as deselected.
"""

import os
import zlib
from collections.abc import Sequence

import pytest

KINDS = ("sqlite", "postgresql", "partitioned")

VARIABLE = "BILLING_TEST_DATABASES"

SHARE = 8
"""One test in so many runs on the stand-in, where nothing is named; the others have their turn with another seed."""

MARKER = "every_database"
"""Tests that tell so much that they run on the stand-in each time are marked so."""


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line("markers", f"{MARKER}: run on the stand-in for a cluster each time, not only when it is the test's turn.")


def pytest_report_header(config: pytest.Config) -> str:
    """Say on what the tests run."""
    named = named_kinds()
    return f"databases: {', '.join(named) if named else f'sqlite, postgresql, and partitioned for one test in {SHARE} (seed {seed_of(config)})'}"


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the cases of databases that are not wanted, or whose turn it is not."""
    named, seed = named_kinds(), seed_of(config)
    kept: list[pytest.Item] = []
    dropped: list[pytest.Item] = []
    for item in items:
        kind = kind_of(item)
        (kept if kind is None or _wanted(item, kind, named, seed) else dropped).append(item)
    if dropped:
        config.hook.pytest_deselected(items=dropped)
        items[:] = kept


def named_kinds() -> Sequence[str] | None:
    """Return the kinds that the environment names, None where it names none."""
    named = [each.strip() for each in os.environ.get(VARIABLE, "").split(",") if each.strip()]
    if unknown := set(named) - set(KINDS):
        raise pytest.UsageError(f"{VARIABLE} names {', '.join(sorted(unknown))}: say {', '.join(KINDS)}.")
    return named or None


def kind_of(item: pytest.Item) -> str | None:
    """Return the kind of database that a test runs on, None if it does not choose."""
    parameters = getattr(item, "callspec", None)
    found = parameters.params.get("database_url") if parameters else None
    return found if found in KINDS else None


def seed_of(config: pytest.Config) -> int:
    """Return the seed of the run: pytest-randomly's, where it is installed."""
    return int(config.getoption("randomly_seed", None) or 0)


def _wanted(item: pytest.Item, kind: str, named: Sequence[str] | None, seed: int) -> bool:
    if named is not None:
        return kind in named
    if kind != "partitioned" or item.get_closest_marker(MARKER):
        return True
    return zlib.crc32(f"{seed} {item.nodeid}".encode()) % SHARE == 0
