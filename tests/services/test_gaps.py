"""The gap report: numbers without a document, with two, and beyond the counter are named; receipts are those of payments and of wallets."""

from typing import Any

import pytest
from sqlalchemy import delete, insert, select, update

from billing.model import Invoice, NumberCounter, Payment, Tender, Wallet, WalletMove, new_id
from billing.services import exports, gaps, reversals
from billing.services.gaps import SeriesGaps
from billing.testing.world import World


@pytest.fixture
def busy(world: World) -> World:
    """Return a clinic with six receipts (by payments), six invoices and a credit note."""
    world.service("VIS", price="40.00")
    made = [world.invoice("VIS").id for _ in range(6)]
    for invoice in made:
        world.pay(invoice, "card 10", scope="ON_ACCOUNT")
    world.run(lambda tx: reversals.cancel_paid_invoice(tx, invoice_id=made[0], reason="no"))
    return world


def found(world: World) -> dict[str, SeriesGaps]:
    return {each.kind: each for each in world.read(gaps.list_gaps)}


def test_series_without_a_gap_are_complete(busy: World) -> None:
    assert {kind: (each.first, each.latest, each.documents, each.complete) for kind, each in found(busy).items()} == {
        "credit_note": (1, 1, 1, True),
        "invoice": (1, 6, 6, True),
        "receipt": (1, 6, 6, True),
    }


def test_numbers_that_are_missing_are_named_in_ranges(busy: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "BATCH", 2)
    gone = select(Payment.id).where(Payment.receipt_value.in_([1, 3, 4]))
    as_admin(busy, delete(Tender).where(Tender.payment_id.in_(gone)), delete(Payment).where(Payment.receipt_value.in_([1, 3, 4])))
    as_admin(busy, update(NumberCounter).where(NumberCounter.series == "receipt").values(latest_value=7))

    receipts = found(busy)["receipt"]

    assert (receipts.complete, receipts.missing, receipts.documents) == (False, ("1", "3-4", "7"), 3)
    assert (receipts.twice, receipts.outside) == ((), ())
    assert found(busy)["invoice"].complete


def test_receipts_of_wallets_count_and_one_that_stands_twice_is_named(busy: World) -> None:
    as_admin(busy, update(NumberCounter).where(NumberCounter.series == "receipt").values(latest_value=7))
    top_up(busy, 7)
    assert found(busy)["receipt"].complete

    top_up(busy, 3)
    top_up(busy, 9)

    receipts = found(busy)["receipt"]
    assert (receipts.complete, receipts.missing, receipts.twice, receipts.outside) == (False, (), ("3",), ("9",))


def test_number_that_is_twice_hides_no_gap(busy: World) -> None:
    as_admin(busy, update(NumberCounter).where(NumberCounter.series == "receipt").values(latest_value=7))
    top_up(busy, 6)

    assert (found(busy)["receipt"].missing, found(busy)["receipt"].twice) == (("7",), ("6",))


def top_up(world: World, value: int) -> None:
    """Write a top-up with this receipt, as no service would."""

    def unit(tx: Any) -> dict[str, Any]:
        client = tx.session.scalars(select(Invoice.client_id).limit(1)).one()
        row = {"clinic_id": tx.clinic_id, "client_id": client, "at": tx.at, "business_date": tx.business_date, "done_by": tx.actor.id}
        period = tx.session.scalars(select(NumberCounter.period).where(NumberCounter.series == "receipt")).one()
        amounts = {"amount_minor": 100, "tendered_minor": 100, "change_minor": 0, "rounding_minor": 0}
        number = {"series": "receipt", "receipt_period": period, "receipt_value": value, "receipt_number": f"R-{value}"}
        texts = {"kind": "top_up", "method": "card", "reference": None, "reason": "", "person": "Ada", "shift_id": None}
        return row | amounts | number | texts | {"id": new_id(), "action_id": new_id()}

    row = world.read(unit)
    wallet = {"clinic_id": row["clinic_id"], "client_id": row["client_id"], "balance_minor": 100}
    if not world.read(lambda tx: tx.session.scalars(select(Wallet.client_id).where(Wallet.client_id == row["client_id"])).all()):
        as_admin(world, insert(Wallet).values(**wallet))
    as_admin(world, insert(WalletMove).values(**row))


def as_admin(world: World, *statements: Any) -> None:
    with world.admin.begin() as connection:
        for statement in statements:
            connection.execute(statement)
