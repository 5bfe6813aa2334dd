"""Random histories of a clinic with the departments that ship, told to the real clinic and to a model: both must agree after every act.

`BILLING_FAULTS=full` looks much further. `make SEED=... test` repeats a run; hypothesis prints a failing history as code.
"""

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from billing import registry
from billing.testing.world import World
from tests.model.machine import ClinicMachine

pytestmark = pytest.mark.every_database

HISTORIES, ACTS = (500, 50) if os.environ.get("BILLING_FAULTS") == "full" else (12, 25)


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    made = World(database_url, plugins=registry.load())
    yield made
    made.dispose()


def test_every_history_is_that_of_the_model(world: World) -> None:
    run_state_machine_as_test(
        lambda: ClinicMachine(world),  # type: ignore[arg-type]  # any factory will do
        settings=settings(max_examples=HISTORIES, stateful_step_count=ACTS, suppress_health_check=list(HealthCheck)),
    )
