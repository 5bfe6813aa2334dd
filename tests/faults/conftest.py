"""How large the faults' tests are, their chance, and their judge. `make faults` runs them in full; every run of the tests does a tenth."""

import os
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from billing.services import doctor
from billing.services.audit import verify_chain
from billing.testing.world import World

Size = Callable[[int], int]
Told = Callable[..., None]


@pytest.fixture(scope="session")
def full() -> bool:
    """Say whether this is the full run."""
    return os.environ.get("BILLING_FAULTS") == "full"


@pytest.fixture
def size(full: bool) -> Size:
    """Return how often to do what the full run does so often: as often, or about a tenth."""
    return lambda often: often if full else max(1, often // 10)


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """Return this run's seed. `make SEED=... faults`, or pytest with --randomly-seed=..., repeats it."""
    chosen = int(request.config.getoption("randomly_seed"))
    print(f"seed: --randomly-seed={chosen}")  # noqa: T201 - pytest shows it where a test fails
    return chosen


@pytest.fixture
def chance(seed: int, request: pytest.FixtureRequest) -> random.Random:
    """Return the chance of one test: another one for each test, the same for the same seed."""
    return random.Random(f"{seed} {request.node.nodeid}")


@pytest.fixture
def told(record_property: Callable[[str, object], None]) -> Told:
    """Keep figures for docs/proof.md: `told("F01", rounds=200, winners=200)`."""

    def tell(row: str, **figures: object) -> None:
        record_property("row", row)
        for name, value in figures.items():
            record_property(name, value)

    return tell


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    """Make a small clinic on each kind of database; its books must be well when the test is done."""
    made = World(database_url)
    yield made
    assert_books_are_well(made)
    made.dispose()


@pytest.fixture
def books_are_well() -> Callable[[World], None]:
    """Return the judge, for tests that ask in between."""
    return assert_books_are_well


def assert_books_are_well(world: World) -> None:
    """Let the doctor say that no payment is half there, no number missing, no amount wrong; and the chain that it is whole."""
    for code in [row[0] for row in world.read_anywhere(_clinic_codes)]:
        broken = [(check.name, check.violations, check.error) for check in world.read(doctor.examine, clinic=code).broken]
        assert broken == [], f"clinic {code}"
        assert world.read(verify_chain, clinic=code).intact


def _clinic_codes(tx: Any) -> list[Any]:
    from billing.services import clinics

    return [(clinic.code,) for clinic in clinics.list_clinics(tx)]
