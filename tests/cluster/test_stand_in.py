"""The stand-in for a cluster refuses what a cluster refuses, and the watch over plans finds what a cluster would send to every node."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import create_engine, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from billing.errors import BillingError
from billing.model import Invoice, Patient
from billing.services import clinics
from billing.testing import plans
from billing.testing.partitions import PARTS
from billing.testing.plans import Plans, scattered_tables
from billing.testing.world import World
from billing.trips import Query


@pytest.fixture
def world(partitioned_url: str) -> Iterator[World]:
    made = World(partitioned_url)
    yield made
    made.dispose()


@pytest.fixture
def watched(partitioned_url: str) -> Iterator[Plans]:
    """Watch with eyes of its own, so that what is planted here fails no test."""
    with plans.watching(partitioned_url, Plans()) as own:
        yield own
    plans.PLANS.scattered.clear()


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE x (clinic_id uuid, id uuid, PRIMARY KEY (id)) PARTITION BY HASH (clinic_id)",
        "CREATE UNIQUE INDEX uq_invoice_x ON invoice (number)",
        "ALTER TABLE invoice ADD CONSTRAINT uq_invoice_x UNIQUE (source)",
        "ALTER TABLE payment ADD CONSTRAINT fk_payment_x FOREIGN KEY (invoice_id) REFERENCES invoice (id)",
    ],
)
def test_what_a_cluster_refuses_is_refused(statement: str, partitioned_url: str) -> None:
    with create_engine(partitioned_url, poolclass=NullPool).begin() as connection, pytest.raises(DBAPIError):
        connection.execute(text(statement))


def test_every_clinic_table_is_in_parts_and_their_indexes_are_named_like_shards(world: World) -> None:
    with world.database.engine.connect() as connection:
        whole = set(connection.scalars(text("SELECT relname FROM pg_class WHERE relkind = 'p'")))
        parts = connection.execute(
            text(
                "SELECT inhparent::regclass::text, count(*) FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid "
                "WHERE c.relkind = 'r' GROUP BY 1"
            )
        ).all()
        odd = connection.scalars(
            text(
                "SELECT c.relname FROM pg_index JOIN pg_class c ON c.oid = indexrelid JOIN pg_class t ON t.oid = indrelid "
                "WHERE t.relispartition AND c.relname !~ '^(pk|uq|ix|ux)_.+_[1-4]$'"
            )
        ).all()

    assert {"clinic", "invoice", "payment", "audit_entry", "pharmacy_batch", "shelf_lot"} <= whole
    assert whole.isdisjoint({"staff", "clinic_code", "migration_lock"})
    assert {row[0]: row[1] for row in parts} == dict.fromkeys(whole, PARTS)
    assert odd == []


def test_refusal_of_a_part_is_explained_by_the_wholes_name(world: World) -> None:
    from billing.services import prices

    world.service("VIS")

    with pytest.raises(BillingError) as caught:
        world.run(lambda tx: prices.add_service(tx, code="VIS", department="desk", description="Again", unit_price_e4=1))

    assert caught.value.code == "service_code_taken"


def test_statement_of_the_session_that_forgets_the_clinic_is_found(world: World, watched: Plans) -> None:
    world.read_anywhere(lambda tx: tx.session.execute(select(Patient.name).where(Patient.kind == "animal")).all())

    assert list(watched.scattered.values()) == [["patient"]]


def test_statement_on_a_trip_that_forgets_the_clinic_is_found(world: World, watched: Plans) -> None:
    query = Query(select(Invoice.id).where(Invoice.number == "x"))

    world.read(lambda tx: tx.rows(query))

    assert ["invoice"] in watched.scattered.values()


def test_statement_that_names_the_clinic_touches_one_part(world: World, watched: Plans) -> None:
    world.service("VIS")
    world.pay(world.invoice("VIS").id, "card 10")

    assert watched.scattered == {}
    assert len(watched.seen) > 10


def test_what_may_touch_every_part_does(world: World, watched: Plans) -> None:
    world.read_anywhere(clinics.list_clinics)

    seen = {" ".join(statement.split()) for statement in watched.allowed}
    assert [start for start in plans.ALLOWED if not any(statement.startswith(start) for statement in seen)] == []


def test_failing_teardown_names_statement_and_tables() -> None:
    watched = Plans()
    parts = [{"Node Type": "Seq Scan", "Relation Name": f"invoice_{part}"} for part in (1, 3)]
    plan = [{"Plan": {"Node Type": "Append", "Plans": [*parts, {"Node Type": "Seq Scan", "Relation Name": "staff"}]}}]

    watched.look_at("SELECT 1 FROM invoice", lambda statement: plan)
    watched.look_at("SET LOCAL x = 1", lambda statement: plan)

    assert watched.scattered == {"SELECT 1 FROM invoice": ["invoice"]}
    assert scattered_tables([{"Plan": parts[0]}]) == []


def test_only_migrations_backups_and_tests_read_over_all_clinics() -> None:
    from pathlib import Path

    import billing

    root = Path(billing.__file__).parent
    users = {str(file.relative_to(root)) for file in root.rglob("*.py") if "over_all_clinics(" in file.read_text(encoding="utf-8")}

    assert users == {"database.py", "migrations/__init__.py", "services/backup.py", "testing/world.py"}


def test_clinic_of_a_statement_is_found_by_its_hash(world: World, watched: Plans) -> None:
    """Clinics lie in different parts; each is found in its own."""
    for number in range(8):
        world.found(f"clinic{number}")

    def part(tx: Any) -> str:
        return str(
            tx.session.execute(
                text("SELECT tableoid::regclass::text FROM clinic WHERE clinic_id = :clinic_id"), {"clinic_id": tx.clinic_id}
            ).scalar_one()
        )

    found = {world.read(part, clinic=f"clinic{number}") for number in range(8)}

    assert len(found) > 1
    assert watched.scattered == {}
    assert found <= {f"clinic_{number}" for number in range(1, PARTS + 1)}
