"""Databases for tests, as pytest fixtures: `pytest_plugins = ["billing.testing.fixtures"]` in the conftest.py at a repository's root.

Knows nothing of what the tests put into them.
"""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import cast

import pytest
from sqlalchemy import NullPool, create_engine

from billing.testing.postgres import APPLICATION, OWNER, PostgresServer, Source, running_postgres

pytest_plugins = ["billing.testing.kinds"]

TEMPLATE = "migrated"

_numbers = count(1)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """Run one server for all tests of this process; BILLING_TEST_POSTGRES=system or =embedded says whose binaries."""
    wanted = os.environ.get("BILLING_TEST_POSTGRES") or None
    if wanted not in {None, "system", "embedded"}:
        raise pytest.UsageError(f"BILLING_TEST_POSTGRES={wanted}: say system or embedded, or nothing for whichever is there.")
    with running_postgres(source=cast("Source | None", wanted)) as server:
        server.create_roles()
        yield server


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a SQLite file with all tables, which the tests copy."""
    path = tmp_path_factory.mktemp("sqlite") / f"{TEMPLATE}.sqlite3"
    _migrate(f"sqlite:///{path}")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # all in the one file that is copied
    return path


@pytest.fixture(scope="session")
def postgresql_template(postgres_server: PostgresServer) -> str:
    """Make a PostgreSQL database with all tables, which the tests copy."""
    postgres_server.create_database(TEMPLATE, owner=OWNER)
    _migrate(postgres_server.url(TEMPLATE, role=OWNER), grant_to=APPLICATION)
    return TEMPLATE


@pytest.fixture(scope="session")
def partitioned_template(postgres_server: PostgresServer) -> str:
    """Make the stand-in for a cluster with all tables, which the tests copy."""
    from billing.testing import partitions

    name = f"{partitions.PREFIX}_{TEMPLATE}"
    postgres_server.create_database(name, owner=OWNER)
    _migrate(postgres_server.url(name, role=OWNER), grant_to=APPLICATION)
    with create_engine(postgres_server.url(name, role=OWNER), poolclass=NullPool).begin() as connection:
        partitions.name_like_shards(connection)
    return name


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """Name a fresh, migrated SQLite database of this test's own."""
    path = tmp_path / "billing.sqlite3"
    shutil.copyfile(sqlite_template, path)
    return f"sqlite:///{path}"


@pytest.fixture
def postgresql_url(postgres_server: PostgresServer, postgresql_template: str) -> Iterator[str]:
    """Name a fresh, migrated PostgreSQL database of this test's own, as the application connects to it: under row level security."""
    yield from _postgresql_database(postgres_server, postgresql_template, APPLICATION)


@pytest.fixture
def partitioned_url(postgres_server: PostgresServer, partitioned_template: str) -> Iterator[str]:
    """Name a fresh, migrated stand-in for a cluster; fail if a unit's statement would have touched more than one node of it."""
    from billing.testing import partitions, plans

    for url in _postgresql_database(postgres_server, partitioned_template, APPLICATION, prefix=partitions.PREFIX):
        with plans.watching(url):
            yield url
    found, plans.PLANS.scattered = plans.PLANS.scattered, {}
    if found:
        pytest.fail("\n\n".join(f"This touches several parts of {', '.join(tables)}: {text}" for text, tables in found.items()))


@pytest.fixture
def empty_sqlite_url(tmp_path: Path) -> str:
    """Name a SQLite database without any table."""
    return f"sqlite:///{tmp_path / 'empty.sqlite3'}"


@pytest.fixture
def empty_postgresql_url(postgres_server: PostgresServer) -> Iterator[str]:
    """Name a PostgreSQL database without any table, as its owner connects to it."""
    yield from _postgresql_database(postgres_server, None, OWNER)


@pytest.fixture(params=["sqlite", "postgresql", "partitioned"])
def database_url(request: pytest.FixtureRequest) -> str:
    """Name a fresh, migrated database; the test runs once on each kind."""
    return cast("str", request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database_url(request: pytest.FixtureRequest) -> str:
    """Name a database without any table; the test runs once on each kind."""
    return cast("str", request.getfixturevalue(f"empty_{request.param}_url"))


def _postgresql_database(server: PostgresServer, template: str | None, role: str, *, prefix: str = "test") -> Iterator[str]:
    name = f"{prefix}_{next(_numbers)}"
    server.create_database(name, template=template, owner=OWNER)
    yield server.url(name, role=role)
    server.drop_database(name)


def _migrate(url: str, *, grant_to: str | None = None) -> None:
    from billing import migrations, registry  # not with the fixtures: a test without a database shouldn't wait for Alembic

    migrations.upgrade(url, registry=registry.load(), grant_to=grant_to)
