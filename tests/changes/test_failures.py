"""What databases say, as recorded from PostgreSQL and from a cluster of it, and what we make of it: an error for people, and whether to repeat."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import errors
from sqlalchemy import text

from billing.changes.failures import DatabaseUnavailable, explain, outcome_unknown, retryable
from billing.database import Database
from billing.errors import BillingError
from billing.testing.shelf import TABLES as SHELF_TABLES
from billing.testing.world import World
from billing.transaction import Transaction
from billing.unit import Again, OutcomeUnknown

assert SHELF_TABLES  # the plugin's constraints are known by its tables


def said(state: str | None, message: str) -> psycopg.Error:
    """Return the driver's error for what a server has said; without a SQLSTATE the connection was lost."""
    return psycopg.OperationalError(message) if state is None else errors.lookup(state)(message)


LOST = [
    (None, "consuming input failed: server closed the connection unexpectedly"),
    (None, 'connection to server at "10.0.0.1", port 5432 failed: Connection refused'),
    (None, "the connection is lost"),
    ("08006", "connection to the remote node 10.0.0.2:9702 failed with the following error: server closed the connection unexpectedly"),
    ("08006", "connection to the remote node 10.0.0.2:9702 failed with the following error: FATAL:  the database system is starting up"),
    ("08003", "connection does not exist"),
    ("57P01", "terminating connection due to administrator command"),
    ("57P02", "terminating connection because of crash of another server process"),
    ("57P03", "the database system is starting up"),
]

NOT_DONE = [
    ("40001", "could not serialize access due to concurrent update"),
    ("40P01", "deadlock detected"),
    ("40P01", "canceling the transaction since it was involved in a distributed deadlock"),
]

FINAL = [
    ("55P03", "canceling statement due to lock timeout", "busy", None),
    ("55P03", 'could not obtain lock on row in relation "invoice_102031"', "busy", None),
    ("57014", "canceling statement due to statement timeout", "busy", None),
    ("23505", 'duplicate key value violates unique constraint "uq_service_code"', "service_code_taken", "uq_service_code"),
    ("23505", 'duplicate key value violates unique constraint "uq_service_code_104924"', "service_code_taken", "uq_service_code"),
    ("23505", 'duplicate key value violates unique constraint "pk_payment_102040"', "already_exists", "pk_payment"),
    ("23505", 'duplicate key value violates unique constraint "pk_source_claim_102044"', "source_already_billed", "pk_source_claim"),
    (
        "23503",
        'insert or update on table "invoice_102031" violates foreign key constraint "fk_invoice_patient_id_102031"',
        "not_storable",
        "fk_invoice_patient_id",
    ),
    (
        "23503",
        'update or delete on table "patient_102019" violates foreign key constraint "fk_invoice_patient_id_102031" on table "invoice_102031"',
        "not_storable",
        "fk_invoice_patient_id",
    ),
    ("23514", 'new row for relation "payment_102040" violates check constraint "ck_payment_signs"', "not_storable", "ck_payment_signs"),
    (
        "23514",
        'new row for relation "shelf_lot_102088" violates check constraint "ck_shelf_lot_on_hand"',
        "plugin_violation",
        "ck_shelf_lot_on_hand",
    ),
    ("23502", 'null value in column "name" of relation "client_102017" violates not-null constraint', "not_storable", "name"),
    (
        "XX000",
        'insert or update on table "tender_102046" violates foreign key constraint "fk_tender_payment_id_102046"',
        "not_storable",
        "fk_tender_payment_id",
    ),
    ("XX000", 'duplicate key value violates unique constraint "uq_client_source_102017"', "client_source_taken", "uq_client_source"),
    (
        "XX000",
        'new row for relation "shelf_lot_102088" violates check constraint "ck_shelf_lot_on_hand"',
        "plugin_violation",
        "ck_shelf_lot_on_hand",
    ),
    ("22P02", 'invalid input syntax for type bigint: "short:shelf_lot:1/2"', "plugin_violation", None),
    ("22P02", 'invalid input syntax for type bigint: "short:invoice:0/1"', "row_changed", None),
    ("22003", "bigint out of range", "not_storable", None),
    ("42P01", 'relation "payment" does not exist', "misconfigured", None),
    ("42703", "column invoice.colour does not exist", "misconfigured", None),
    ("25006", "cannot execute INSERT in a read-only transaction", "database_unavailable", None),
    ("53100", "could not extend file: No space left on device", "database_unavailable", None),
    ("53300", "sorry, too many clients already", "database_unavailable", None),
    ("0A000", "could not run distributed query with FOR UPDATE/SHARE commands", "database_unavailable", None),
    ("0A000", "the query contains a join that requires repartitioning", "database_unavailable", None),
    ("0A000", "modifying the partition value of rows is not allowed", "database_unavailable", None),
    ("0A000", "functions used in UPDATE queries on distributed tables must not be VOLATILE", "database_unavailable", None),
    ("0A000", "operation is not allowed on this node", "database_unavailable", None),
]

AT_COMMIT = [
    *LOST,
    ("XX000", "could not commit transaction for shard 102040 on at least 1 active node"),
    ("XX000", "postmaster was shut down, exiting"),
]

COMMIT_REFUSED = [
    *NOT_DONE,
    ("23503", 'insert or update on table "tender" violates foreign key constraint "fk_tender_payment_id"'),
    ("53100", "could not write to file: No space left on device"),
]


@pytest.mark.parametrize(("state", "message"), [*LOST, *NOT_DONE])
def test_what_was_not_booked_may_run_again(state: str | None, message: str) -> None:
    assert retryable(said(state, message))


@pytest.mark.parametrize(("state", "message", "code", "constraint"), FINAL)
def test_what_is_said_is_explained_and_not_tried_again(state: str, message: str, code: str, constraint: str | None) -> None:
    error = said(state, message)

    explained = explain(error, plugins=frozenset({"shelf"}))

    assert (explained.code, explained.facts.get("constraint")) == (code, constraint)
    assert not retryable(error)


@pytest.mark.parametrize(("state", "message"), LOST)
def test_lost_connection_is_told_as_an_unavailable_database(state: str | None, message: str) -> None:
    assert explain(said(state, message)).code == "database_unavailable"


@pytest.mark.parametrize(("state", "message"), AT_COMMIT)
def test_commit_that_may_have_landed_is_unknown(state: str | None, message: str) -> None:
    assert outcome_unknown(said(state, message))


@pytest.mark.parametrize(("state", "message"), COMMIT_REFUSED)
def test_commit_that_was_refused_is_known(state: str, message: str) -> None:
    assert not outcome_unknown(said(state, message))


def test_name_without_a_shards_number_is_read_whole() -> None:
    plain = explain(said("23505", 'duplicate key value violates unique constraint "uq_payment_receipt"'))

    assert plain.facts["constraint"] == "uq_payment_receipt"


@pytest.fixture
def world(postgresql_url: str) -> Iterator[World]:
    made = World(postgresql_url)
    made.service("VIS")
    yield made
    made.dispose()


def losing_connection(world: World, *, times: int) -> Any:
    """Return a unit that bills, and whose connection the server ends after that as often as is said."""
    patient, left = world.patient(), [times]

    def unit(tx: Transaction) -> None:
        from billing.services import invoices
        from billing.testing.world import items_of

        invoices.create_invoice(tx, patient_id=patient, items=items_of(["VIS"]))
        tx.flush()
        if left[0]:
            left[0] -= 1
            tx.session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    return unit


def invoices_of(world: World) -> list[Any]:
    from billing.services import listing

    return list(world.read(listing.list_invoices))


def test_unit_whose_connection_is_lost_before_the_commit_runs_again_and_books_once(world: World) -> None:
    world.run(losing_connection(world, times=2))

    assert [each.number[-5:] for each in invoices_of(world)] == ["00001"]


def test_unit_whose_connection_is_lost_each_time_is_given_up_and_books_nothing(world: World) -> None:
    with pytest.raises(BillingError) as caught:
        world.run(losing_connection(world, times=100))

    assert caught.value.code == "database_unavailable"
    assert invoices_of(world) == []


def test_doubt_is_what_is_told_although_the_database_is_gone_when_the_unit_runs_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    said_in_turn = iter([Again(OutcomeUnknown("The connection broke.")), DatabaseUnavailable("Connection refused.")])

    def once(*_: object, **__: object) -> None:
        raise next(said_in_turn)

    monkeypatch.setattr(Database, "_once", once)

    with pytest.raises(OutcomeUnknown):
        world.run(lambda tx: None)
