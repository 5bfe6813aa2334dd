"""Two clinics on PostgreSQL, with rows in every table of theirs that tests can fill, and connections on which only the database keeps them apart."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest
from sqlalchemy import Connection, create_engine, select, text
from sqlalchemy.pool import NullPool

from billing import registry
from billing.model import Base, ClinicCode
from billing.model.lint import core_tables
from billing.testing import shelf
from billing.testing.postgres import APPLICATION, as_role
from billing.testing.world import World

Unfiltered = Callable[..., AbstractContextManager[Connection]]


@pytest.fixture
def world(postgresql_url: str) -> Iterator[World]:
    made = World(postgresql_url)
    made.found("south", currency="CHF")
    for clinic in ("north", "south"):
        fill(made, clinic)
    yield made
    made.dispose()


def fill(world: World, clinic: str) -> None:
    """Do a bit of everything in a clinic."""
    at_home, world.clinic = world.clinic, clinic
    world.lot(world.service("AMX", department="shelf"), "10")
    world.service("VIS")
    paid = world.invoice("AMX", "VIS", source=f"encounter:{clinic}")
    world.pay(paid.id, "cash 50", key=f"pay-{clinic}")
    world.clinic = at_home


@pytest.fixture
def classes() -> dict[str, type[Base]]:
    """Return the mapped classes of all tables that stand: the core's, the installed plugins', the shelf's."""
    own = {table for plugin in registry.load().plugins for table in plugin.tables} | {table.__table__ for table in shelf.TABLES}
    named = {mapper.local_table: mapper.class_ for mapper in Base.registry.mappers}
    return {table.name: named[table] for table in [*core_tables(), *own]}


@pytest.fixture
def ids(world: World) -> dict[str, str]:
    """Return the clinics' ids by code."""
    with world.admin.connect() as connection:
        return {row.code: row.clinic_id for row in connection.execute(select(ClinicCode.code, ClinicCode.clinic_id))}


@pytest.fixture
def unfiltered(world: World, ids: dict[str, str]) -> Unfiltered:
    """Open a transaction as the application's role, or another, in which statements may forget the clinic."""

    @contextmanager
    def opened(clinic: str | None = None, *, role: str = APPLICATION) -> Iterator[Connection]:
        engine = create_engine(as_role(world.url, role), poolclass=NullPool)
        with engine.begin() as connection:
            if clinic is not None:
                connection.execute(text(f"SET LOCAL app.clinic = '{ids[clinic]}'"))
            yield connection

    return opened
