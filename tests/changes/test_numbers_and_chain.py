"""A number is taken once by a unit, however often the unit reads in between; the chain holds however many entries a unit adds."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import select

from billing.model import AuditEntry, NumberCounter
from billing.plugin import BilledItem, Declaration, Department, InvoiceFacts, Known, Need, billing, hookimpl
from billing.services import audit, invoices
from billing.services.numbering import next_number
from billing.services.quotation import NewItem
from billing.testing.shelf import TABLES, Shelf, ShelfLot
from billing.testing.world import World
from billing.transaction import Transaction

LOTS_BILLED = Need(select(ShelfLot.id, ShelfLot.service_id).join(billing, billing.c.service_id == ShelfLot.service_id), of="billing")


class Listening(Shelf):
    """A department that reads when an invoice is created and changed."""

    @hookimpl
    def declare(self) -> Declaration:
        return Declaration(departments=(Department("shelf", "Shelf"),), tables=TABLES, needs=(*super().declare().needs, LOTS_BILLED))

    @hookimpl
    def on_invoice_created(self, invoice: InvoiceFacts, items: tuple[BilledItem, ...], known: Known) -> Any:
        assert known[LOTS_BILLED]
        return ()


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    made = World(database_url, plugins={"shelf": Listening()})
    yield made
    made.dispose()


def _counters(world: World) -> list[int]:
    return list(world.read(lambda tx: tx.session.scalars(select(NumberCounter.latest_value)).all()))


def test_department_that_reads_does_not_make_the_invoice_take_two_numbers(world: World) -> None:
    world.lot(world.service("AMX", department="shelf"), "5")

    numbers = [str(world.invoice("AMX").number)[-5:] for _ in range(3)]

    assert numbers == ["00001", "00002", "00003"]
    assert _counters(world) == [3]


def test_number_written_in_two_goes_of_one_unit_is_one_number(world: World) -> None:
    patient_id = world.patient()
    world.lot(world.service("AMX", department="shelf"), "5")

    def unit(tx: Transaction) -> str:
        made = invoices.create_invoice(tx, patient_id=patient_id, items=[NewItem("AMX")])
        tx.flush()
        shown = str(made.number)
        for action in ("first", "second", "third"):
            tx.audit(action, "test", "1", number=made.numbered)  # type: ignore[arg-type]
        return shown

    shown = world.run(unit)

    entries = world.read(lambda tx: tx.session.scalars(select(AuditEntry.number_value).where(AuditEntry.subject == "test")).all())
    assert (shown[-5:], list(entries), _counters(world)) == ("00001", [1, 1, 1], [1])


@pytest.mark.parametrize("entries", [1, 7, 8, 9, 16, 17, 40])
def test_chain_holds_however_many_entries_one_unit_adds(entries: int, world: World) -> None:
    def unit(tx: Transaction) -> None:
        number = next_number(tx, kind="receipt")
        for place in range(entries):
            tx.audit("act", "test", str(place), number=number if place % 2 else None, text='quo"te \\ é \x7f')

    world.run(unit)
    world.run(unit)

    report = world.read(audit.verify_chain)
    assert report.intact, report.breach
    assert report.checked == 1 + 2 * entries
    assert _counters(world) == ([2] if entries > 1 else [])
