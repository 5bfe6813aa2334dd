"""The database fixtures: fresh for each test, on every kind; and which tests run on which."""

import pytest
from sqlalchemy import create_engine, inspect, make_url, text
from sqlalchemy.pool import NullPool

from billing.testing.postgres import OWNER, as_role


def tables(url: str) -> set[str]:
    return set(inspect(create_engine(url, poolclass=NullPool)).get_table_names())


def run(url: str, statement: str) -> None:
    with create_engine(url, poolclass=NullPool).begin() as connection:
        connection.execute(text(statement))


def test_empty_database_has_no_table(empty_database_url: str) -> None:
    assert tables(empty_database_url) == set()


def test_database_has_the_tables_of_core(database_url: str) -> None:
    assert {"clinic", "invoice", "payment"} <= tables(database_url)


@pytest.mark.parametrize("turn", ["first", "second"])
def test_database_knows_nothing_of_an_earlier_test(database_url: str, turn: str) -> None:
    owner_url = as_role(database_url, OWNER)
    run(owner_url, "CREATE TABLE left_behind (turn text)")
    run(owner_url, f"INSERT INTO left_behind VALUES ('{turn}')")

    assert "left_behind" in tables(database_url)


def test_every_kind_is_run(request: pytest.FixtureRequest, database_url: str) -> None:
    kind = request.node.callspec.params["database_url"]

    name = make_url(database_url).database or ""
    assert database_url.startswith({"sqlite": "sqlite:///"}.get(kind, "postgresql+psycopg://"))
    assert name.startswith("partitioned_") is (kind == "partitioned")
