"""One payment over several invoices: a receipt each, in their order, whole as long as the money lasts; all of it or nothing."""

from typing import Any

import pytest
from sqlalchemy import func, select

from billing.model import Invoice, JournalLine, Payment
from billing.rules.tenders import BadPaymentAmount, Overpaid, Tender, Underpaid
from billing.services import group_payments, invoice_steps, patients, wallets
from billing.services.group_payments import GroupTaken, OtherClient, TooManyInvoices
from billing.services.open_invoice import UnknownInvoice
from billing.services.patients import UnknownClient
from billing.services.payable import ChooseInvoice
from billing.services.wallet_rows import WalletTooLow
from billing.testing.world import World, tenders_of


def several(world: World, *prices: str, patient: str | None = None) -> tuple[str, list[str]]:
    """Return a client and issued invoices of these prices."""
    owner = patient or world.patient()
    made = []
    for price in prices:
        code = f"V{price}"
        if not world.read(lambda tx, code=code: [each for each in prices_of(tx) if each == code]):  # type: ignore[misc]
            world.service(code, price=price)
        invoice = world.invoice(code, patient_id=owner).id
        world.run(lambda tx, invoice=invoice: invoice_steps.issue_invoice(tx, invoice_id=invoice))  # type: ignore[misc]
        made.append(invoice)
    client = world.read(lambda tx: patients.read_patient(tx, patient_id=owner).client_id)
    assert client is not None
    return client, made


def prices_of(tx: Any) -> list[str]:
    from billing.model import Service

    return list(tx.session.scalars(select(Service.code)))


def paid(world: World, *tenders: str, **asked: Any) -> GroupTaken:
    return world.run(lambda tx: group_payments.pay_invoices(tx, tenders=tenders_of(tx, tenders), **asked))


def statuses(world: World) -> list[str]:
    return world.read(lambda tx: list(tx.session.scalars(select(Invoice.status).order_by(Invoice.created_at, Invoice.id))))


def test_all_open_invoices_of_a_client_are_paid_with_a_receipt_each(world: World) -> None:
    client, made = several(world, "40.00", "30.00", "20.00")
    several(world, "40.00")

    taken = paid(world, "card 50", "cash 50", client_id=client)

    assert [part.invoice_id for part in taken.parts] == made
    assert [part.receipt_number for part in taken.parts] == ["R-2026-00001", "R-2026-00002", "R-2026-00003"]
    assert [part.applied_minor for part in taken.parts] == [4_000, 3_000, 2_000]
    assert (taken.tendered_minor, taken.change_minor, taken.applied_minor) == (10_000, 1_000, 9_000)
    assert sorted(statuses(world)) == ["paid", "paid", "paid", "sent"]
    rows = world.read(lambda tx: tx.session.execute(select(Payment.id, Payment.group_id).order_by(Payment.receipt_value)).all())
    assert [row.group_id for row in rows] == [None, taken.group_id, taken.group_id]
    lines = select(JournalLine.account, func.sum(JournalLine.amount_minor)).group_by(JournalLine.account)
    books = {account: int(amount) for account, amount in world.read(lambda tx: tx.session.execute(lines).all())}
    assert (books["cash"], books["method:card"], books["receivable:client"]) == (4_000, 5_000, 4_000)


def test_named_invoices_are_paid_in_their_order_and_the_rest_goes_on_account(world: World) -> None:
    _, (first, second, third) = several(world, "40.00", "30.00", "20.00")

    taken = paid(world, "transfer 35 T-1", invoice_ids=[second, first, third])

    assert [(part.invoice_id, part.scope, part.applied_minor, part.status) for part in taken.parts] == [
        (second, "ALL", 3_000, "paid"),
        (first, "ON_ACCOUNT", 500, "partial"),
    ]


@pytest.mark.parametrize(("tenders", "refusal"), [(("card 39.99",), Underpaid), (("card 70.01",), Overpaid)])
def test_money_that_does_not_fit_changes_nothing(world: World, tenders: tuple[str, ...], refusal: type[Exception]) -> None:
    client, _ = several(world, "40.00", "30.00")
    before = world.dump()

    with pytest.raises(refusal):
        paid(world, *tenders, client_id=client)

    assert world.dump() == before


def test_what_fails_in_the_last_takes_back_the_first(world: World) -> None:
    client, made = several(world, "40.00", "30.00")
    world.run(lambda tx: wallets.top_up(tx, client_id=client, tender=tenders_of(tx, ["card 50"])[0]))
    before = world.dump()

    with pytest.raises(WalletTooLow):
        paid(world, "wallet 70", client_id=client)
    assert world.dump() == before
    taken = paid(world, "wallet 50", "cash 20", invoice_ids=made)

    assert [part.status for part in taken.parts] == ["paid", "paid"]
    assert world.read(lambda tx: wallets.read_wallet(tx, client_id=client)).balance_minor == 0


def test_key_pays_them_once(world: World) -> None:
    client, _ = several(world, "40.00", "30.00")

    first = paid(world, "card 70", client_id=client, key="k")
    again = paid(world, "card 70", client_id=client, key="k")

    assert (again.parts, again.group_id, again.replayed) == (first.parts, first.group_id, True)
    assert world.read(lambda tx: tx.session.scalar(select(func.count()).select_from(Payment))) == 2


def test_what_cannot_be_paid_together_is_refused(world: World) -> None:
    client, (mine,) = several(world, "40.00")
    other, (theirs,) = several(world, "40.00")

    for refusal, asked in (
        (OtherClient, {"invoice_ids": [mine, theirs]}),
        (OtherClient, {"invoice_ids": [theirs], "client_id": client}),
        (UnknownInvoice, {"invoice_ids": [mine, "00000000-0000-0000-0000-00000000dead"]}),
        (UnknownInvoice, {"invoice_ids": ["INV"]}),
        (UnknownClient, {"client_id": "nobody"}),
        (UnknownClient, {"client_id": "00000000-0000-0000-0000-00000000dead"}),
        (ChooseInvoice, {}),
        (TooManyInvoices, {"invoice_ids": [f"00000000-0000-0000-0000-{n:012}" for n in range(51)]}),
    ):
        with pytest.raises(refusal):
            paid(world, "card 80", **asked)
    paid(world, "card 40", client_id=other)
    with pytest.raises(ChooseInvoice):
        paid(world, "card 40", client_id=other)
    for nothing in (0, -100):
        with pytest.raises(BadPaymentAmount):
            world.run(lambda tx, amount=nothing: group_payments.pay_invoices(tx, tenders=[Tender("card", amount)], client_id=client))  # type: ignore[misc]
