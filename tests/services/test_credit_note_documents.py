"""Credit notes on paper, the mark on receipts of voided payments, and reversals where invoices and receipts are shown."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from billing import clock
from billing.model import AuditEntry, Client, DocumentPrint
from billing.services import credit_notes, documents, invoice_steps, listing, reading, reversals, shifts
from billing.services.credit_notes import UnknownCreditNote
from billing.services.documents import BadForm, Document
from billing.services.reversals import Returned
from billing.testing.shelf import Desk, Shelf
from billing.testing.world import World

AT = datetime(2026, 11, 22, 12, 30, tzinfo=UTC)


@pytest.fixture(autouse=True)
def fixed_time() -> Iterator[None]:
    with clock.fixed(AT):
        yield


@pytest.fixture
def shop(database_url: str) -> Iterator[World]:
    world = World(database_url, plugins={"shelf": Shelf(), "desk": Desk()}, language="en")
    world.lot(world.service("AMX", department="shelf", price="10.00", tax="S 1900"), "100")
    world.service("VIS", price="40.00", tax="S 700")
    world.run(lambda tx: shifts.open_shift(tx, drawer="front", float_minor=10_000))
    yield world
    world.dispose()


def refunded(world: World, *, quantity: int | None = 1_000, to: Any = None) -> tuple[str, str, str]:
    """Return the ids of an invoice and of a credit note for a part of it, and the credit note's number."""
    invoice = world.invoice("AMX:3", "VIS").id
    world.pay(invoice, "cash 100")
    item = next(each.id for each in world.read(lambda tx: reading.read_invoice(tx, invoice=invoice)).items if each.code == "AMX")
    done = world.run(
        lambda tx: reversals.refund_items(tx, invoice_id=invoice, items=[Returned(item, quantity)], reason="does not like it", to=to)
    )
    return invoice, done.id, str(done.number)


def printed(world: World, reversal: str, form: Any = "text") -> Document:
    return world.run(lambda tx: documents.print_credit_note(tx, reversal_id=reversal, form=form))


def lines_of(document: Document) -> list[str]:
    return [" ".join(line.split()) for line in document.content.splitlines()]


def test_credit_note_says_what_is_credited_and_how_it_went_back(shop: World) -> None:
    _, reversal, number = refunded(shop)

    document = printed(shop, reversal)

    assert (document.media_type, document.file_name, document.copy) == ("text/plain", f"credit-note-{number}.txt", 0)
    said = lines_of(document)
    for line in (
        f"CREDIT NOTE {number}",
        "Date: Nov 22, 2026",
        "Invoice: INV-2026-00001",
        "Reason: does not like it",
        "1 each × 10.00, Tax 19% 10.00",
        "Net total 10.00",
        "Tax 1.90",
        "CREDITED €11.90",
        "Given back: Cash 11.90",
        "Tax 19%, Taxable amount 10.00 1.90",
    ):
        assert line in said, document.content
    assert len({len(line) for line in document.content.splitlines() if line.startswith(("-", "="))}) == 1


def test_credit_note_as_a_page_says_the_same(shop: World) -> None:
    _, reversal, number = refunded(shop)

    page = printed(shop, reversal, "a4")

    assert (page.media_type, page.file_name) == ("text/html", f"credit-note-{number}.html")
    for text in ("Credit note", number, "does not like it", "€11.90", "Given back: Cash"):
        assert text in page.content
    with pytest.raises(BadForm):
        printed(shop, reversal, "80mm")


def test_reprint_is_a_copy_and_says_the_same_whatever_was_renamed(shop: World) -> None:
    invoice, reversal, number = refunded(shop)
    first = printed(shop, reversal).content
    client = shop.read(lambda tx: reading.read_invoice(tx, invoice=invoice)).invoice.client_id
    with shop.admin.begin() as connection:
        connection.execute(update(Client).where(Client.id == client).values(name="Somebody Else"))

    again = printed(shop, reversal)

    assert (again.copy, again.file_name) == (1, f"credit-note-{number}-copy-1.txt")
    assert again.content.replace("*** COPY 1 ***\n", "") == first
    assert "*** COPY 1 ***" in again.content
    prints = select(DocumentPrint.document).where(DocumentPrint.document_id == reversal)
    assert shop.read(lambda tx: tx.session.scalars(prints).all()) == ["credit_note"] * 2
    audited = select(AuditEntry.subject_id).where(AuditEntry.action == "document.printed")
    assert shop.read(lambda tx: tx.session.scalars(audited).all()) == [reversal] * 2


def test_prices_that_include_tax_are_credited_with_it(database_url: str) -> None:
    world = World(database_url, plugins={"shelf": Shelf(), "desk": Desk()}, language="en", prices_include_tax=True)
    world.lot(world.service("AMX", department="shelf", price="11.90", tax="S 1900"), "100")
    invoice = world.invoice("AMX:2").id
    world.pay(invoice, "card 23.80")
    done = world.run(lambda tx: reversals.cancel_paid_invoice(tx, invoice_id=invoice, reason="wrong patient"))

    said = lines_of(printed(world, done.id))

    assert {
        "2 each × 11.90, Tax 19% 23.80",
        "CREDITED €23.80",
        "Tax included 3.80",
        "Given back: Card 23.80",
        "Prices include tax.",
    } <= set(said)
    world.dispose()


@pytest.mark.parametrize("wrong", ["", "CN-2026-00001", "00000000-0000-0000-0000-00000000dead", "void"])
def test_what_is_no_credit_note_is_not_printed(shop: World, wrong: str) -> None:
    if wrong == "void":
        payment = shop.pay(shop.invoice("VIS").id, "cash 50").id
        wrong = shop.run(lambda tx: reversals.void_payment(tx, payment_id=payment, reason="wrong button")).id

    with pytest.raises(UnknownCreditNote):
        printed(shop, wrong)
    with pytest.raises(UnknownCreditNote):
        shop.read(lambda tx: credit_notes.find_credit_note_id(tx, wrong))


def test_credit_notes_are_listed_latest_first_and_found_by_number(shop: World) -> None:
    made = [refunded(shop) for _ in range(3)]
    shop.run(lambda tx: reversals.refund_on_account(tx, invoice_id=on_account(shop), amount_minor=100, reason="no credit note"))

    rows = shop.read(credit_notes.list_credit_notes)
    page = shop.read(lambda tx: credit_notes.list_credit_notes(tx, limit=2, after=rows[0]))

    assert [row.number for row in rows] == [number for *_, number in reversed(made)]
    assert page == rows[1:]
    assert (rows[0].kind, rows[0].credited_minor, rows[0].refunded_minor, rows[0].reason) == ("refund", 1_190, 1_190, "does not like it")
    assert [row.id for row in shop.read(lambda tx: credit_notes.list_credit_notes(tx, invoice_id=made[0][0]))] == [made[0][1]]
    assert shop.read(lambda tx: credit_notes.find_credit_note_id(tx, made[1][2])) == made[1][1]


def on_account(world: World) -> str:
    invoice = world.invoice("VIS").id
    world.pay(invoice, "card 20", scope="ON_ACCOUNT")
    return invoice


# --- what was voided ---


def test_receipt_of_a_voided_payment_keeps_its_number_and_says_void(shop: World) -> None:
    invoice = shop.invoice("VIS").id
    payment = shop.pay(invoice, "cash 50")
    first = shop.run(lambda tx: documents.print_receipt(tx, payment_id=payment.id, form="text")).content
    with clock.fixed(AT + timedelta(hours=1)):
        shop.run(lambda tx: reversals.void_payment(tx, payment_id=payment.id, reason="wrong button"))

    again = shop.run(lambda tx: documents.print_receipt(tx, payment_id=payment.id, form="text"))
    page = shop.run(lambda tx: documents.print_receipt(tx, payment_id=payment.id, form="80mm"))

    assert "VOID" not in first
    assert again.content.replace("*** COPY 1 ***\n*** VOID Nov 22, 2026: wrong button ***\n", "") == first
    assert "VOID Nov 22, 2026: wrong button" in page.content


def test_receipt_of_the_payment_after_a_void_is_an_ordinary_one(shop: World) -> None:
    invoice = shop.invoice("VIS").id
    void = shop.pay(invoice, "cash 50").id
    shop.run(lambda tx: reversals.void_payment(tx, payment_id=void, reason="wrong button"))

    again = shop.pay(invoice, "cash 50").id

    assert "VOID" not in shop.run(lambda tx: documents.print_receipt(tx, payment_id=again, form="text")).content


def test_invoice_and_receipts_show_what_was_voided_and_given_back(shop: World) -> None:
    invoice = shop.invoice("AMX:3", "VIS").id
    first = shop.pay(invoice, "cash 100").id
    shop.run(lambda tx: reversals.void_payment(tx, payment_id=first, reason="wrong button"))
    second = shop.pay(invoice, "cash 100").id
    shop.run(lambda tx: reversals.cancel_paid_invoice(tx, invoice_id=invoice, reason="wrong patient"))

    seen = shop.read(lambda tx: reading.read_invoice(tx, invoice=invoice))

    assert [(each.id, each.void_reason, each.voided_at) for each in seen.payments] == [(first, "wrong button", AT), (second, None, None)]
    assert [(each.kind, each.number, each.payment_id) for each in seen.reversals] == [
        ("void", None, first),
        ("cancel", "CN-2026-00001", None),
    ]
    listed = {each.id: each.void_reason for each in shop.read(listing.list_payments)}
    assert listed == {first: "wrong button", second: None}
    assert shop.read(lambda tx: reading.read_payment(tx, payment=first)).payment.void_reason == "wrong button"


def test_invoice_without_reversals_lists_none(shop: World) -> None:
    invoice = shop.invoice("VIS").id
    shop.run(lambda tx: invoice_steps.issue_invoice(tx, invoice_id=invoice))

    assert shop.read(lambda tx: reading.read_invoice(tx, invoice=invoice)).reversals == ()
