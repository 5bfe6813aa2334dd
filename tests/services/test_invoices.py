"""Invoices: totals by the server, numbers without gaps, drafts that can be edited, issued ones that never change."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from billing.errors import BillingError
from billing.model import (
    AuditEntry,
    Event,
    Invoice,
    InvoiceItem,
    InvoiceTax,
    Membership,
    NumberCounter,
    Service,
    SourceClaim,
    Staff,
    new_id,
)
from billing.plugin import Allowance, Charge, Declaration, Department, Price, hookimpl
from billing.rules.content import invoice_content_hash
from billing.rules.totals import TaxGroup
from billing.services import invoice_steps, invoices, listing, reading
from billing.services.clinics import update_clinic
from billing.services.quotation import NewAdjustment, NewItem
from billing.testing.world import World, items_of
from billing.transaction import Transaction


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    made = World(database_url)
    made.service("VIS", price="45.00", tax="S 2100")
    made.service("PEN", price="0.05", tax="S 1000")
    made.service("FREE", price="0.00")
    yield made
    made.dispose()


def _code(call: Any) -> str:
    with pytest.raises(BillingError) as caught:
        call()
    return caught.value.code


def _seen(world: World, invoice: str) -> reading.InvoiceSeen:
    return world.read(lambda tx: reading.read_invoice(tx, invoice=invoice))


def test_totals_are_the_servers_and_items_sum_to_them(world: World) -> None:
    made = world.invoice("PEN", "PEN", "PEN")

    seen = _seen(world, made.id)
    assert (seen.invoice.net_minor, seen.invoice.tax_minor, seen.invoice.total_minor) == (15, 2, 17)
    assert sum(item.total_minor for item in seen.items) == 17
    assert [(tax.taxable_minor, tax.tax_minor) for tax in seen.taxes] == [(15, 2)]


def test_document_discount_lowers_the_taxed_amount(world: World) -> None:
    made = world.invoice("VIS:3", adjustments=[NewAdjustment(charge=False, amount_minor=6000, reason="goodwill")])

    assert (made.net_minor, made.tax_minor, made.total_minor) == (7500, 1575, 9075)


def test_preview_equals_what_is_created_and_stores_nothing(world: World) -> None:
    patient = world.patient()
    before = world.dump()

    shown = world.read(lambda tx: invoices.preview_invoice(tx, patient_id=patient, items=items_of(["VIS:1.5", "PEN"])))

    assert world.dump() == before
    assert shown.totals.gross_total_minor == world.invoice("VIS:1.5", "PEN", patient_id=patient).total_minor


def test_expected_total_that_differs_is_refused_with_the_true_one(world: World) -> None:
    with pytest.raises(BillingError) as caught:
        world.invoice("VIS", expected_total_minor=1)

    assert (caught.value.code, caught.value.facts["total_minor"]) == ("total_differs", 5445)
    assert world.invoice("VIS", expected_total_minor=5445).total_minor == 5445


@pytest.mark.parametrize(
    ("item", "code"),
    [
        (NewItem("NOPE"), "unknown_service"),
        (NewItem("VIS", quantity_milli=0), "bad_item"),
        (NewItem("VIS", quantity_milli=-1000), "bad_item"),
        (NewItem("VIS", quantity_milli=10**13), "bad_quantity"),
        (NewItem("VIS", unit_price_e4=-1), "bad_item"),
        (NewItem("VIS", unit_price_e4=10**19), "bad_unit_price"),
        (NewItem("VIS", quantity_milli=10**12, unit_price_e4=10**17), "amount_out_of_bounds"),
        (NewItem("VIS", department="shelf"), "bad_item"),
        (NewItem("VIS", tax=TaxGroup("S", 700)), "bad_item"),
        (NewItem("VIS", allowances=((5000, "too much"),)), "negative_total"),
        (NewItem("VIS", allowances=((-1, "x"),)), "bad_item"),
        (NewItem("VIS", allowances=((1, ""),)), "bad_text"),
        (NewItem("VIS", description="a\0b"), "bad_text"),
        (NewItem("VIS", provider_id=new_id()), "unknown_provider"),
        (NewItem(description="free text"), "bad_item"),
        (NewItem(description="free text", department="desk"), "bad_item"),
        (NewItem(description="x", department="nowhere", unit_price_e4=1), "department_unavailable"),
        (NewItem("VIS", source="\n"), "bad_text"),
    ],
)
def test_wrong_item_is_refused_and_uses_no_number(item: NewItem, code: str, world: World) -> None:
    patient = world.patient()
    before = world.dump()

    assert _code(lambda: world.invoice(item, patient_id=patient)) == code

    assert world.dump() == before


def test_number_of_items_has_bounds(world: World) -> None:
    assert _code(world.invoice) == "bad_item_count"
    assert _code(lambda: world.invoice(*["PEN"] * 10_001)) == "bad_item_count"


def test_ten_thousand_items_are_billed_and_paid(world: World) -> None:
    made = world.invoice(*["PEN"] * 10_000)

    taken = world.pay(made.id, f"card {made.total_minor // 100}.{made.total_minor % 100:02}")

    assert (made.total_minor, len(taken.items), taken.status) == (55000, 10_000, "paid")


def test_patient_of_another_clinic_does_not_exist(world: World) -> None:
    world.found("south")
    theirs = world.patient(clinic="south")

    assert _code(lambda: world.invoice("VIS", patient_id=theirs)) == "unknown_patient"


def test_free_text_and_other_prices_need_their_permissions(world: World) -> None:
    def member(tx: Transaction) -> None:
        staff = Staff(id=new_id(), login="vera", name="Vera", created_at=tx.at)
        tx.session.add(staff)
        tx.session.flush()  # the membership refers to the person
        tx.session.add(Membership(staff_id=staff.id, name="Vera", role="clinician", provider=True, created_at=tx.at))

    world.run(member)
    patient = world.patient()
    cheap, text = NewItem("VIS", unit_price_e4=1), NewItem(description="x", department="desk", unit_price_e4=10_000)
    for item in (cheap, text):
        with pytest.raises(BillingError) as caught:
            world.run(lambda tx, item=item: invoices.create_invoice(tx, patient_id=patient, items=[item]), actor="vera")  # type: ignore[misc]
        assert caught.value.code == "permission_missing"

    assert world.invoice(cheap, text, patient_id=patient).total_minor == 1


def test_retired_service_is_not_billed(world: World) -> None:
    world.run(lambda tx: setattr(tx.session.scalars(select(Service).where(Service.code == "VIS")).one(), "active", False))

    assert _code(lambda: world.invoice("VIS")) == "service_retired"


def test_same_key_gives_the_same_invoice(world: World) -> None:
    patient = world.patient()
    first = world.invoice("VIS", patient_id=patient, key="k")

    again = world.invoice("VIS", patient_id=patient, key="k")

    assert (again.id, again.number, again.item_ids) == (first.id, first.number, first.item_ids)
    assert _code(lambda: world.invoice("PEN", patient_id=patient, key="k")) == "key_reused"


def test_source_is_billed_once_until_its_invoice_is_cancelled(world: World) -> None:
    first = world.invoice(NewItem("VIS", source="rx:1"), source="visit:1")

    assert _code(lambda: world.invoice(NewItem("VIS", source="rx:1"))) == "source_already_billed"
    assert _code(lambda: world.invoice("VIS", source="visit:1")) == "source_already_billed"
    assert _code(lambda: world.invoice(NewItem("VIS", source="rx:2"), NewItem("VIS", source="rx:2"))) == "source_already_billed"
    world.run(lambda tx: invoice_steps.cancel_invoice(tx, invoice_id=first.id, reason="twice"))
    assert world.invoice(NewItem("VIS", source="rx:1"), source="visit:1").number


def test_draft_is_edited_with_new_totals_and_the_same_number(world: World) -> None:
    made = world.invoice("VIS", NewItem("PEN", allowances=((1, "scratch"),)), note="first")

    edited = world.run(lambda tx: invoices.edit_invoice(tx, invoice_id=made.id, items=items_of(["VIS:2"]), version=1))

    seen = _seen(world, made.id)
    assert (edited.number, edited.version, edited.total_minor) == (made.number, 2, 10890)
    assert [item.code for item in seen.items] == ["VIS"]
    assert seen.reductions == ()
    assert len(world.read(lambda tx: tx.session.scalars(select(InvoiceTax.tax_minor).where(InvoiceTax.invoice_id == made.id)).all())) == 1


def test_editing_the_note_alone_keeps_items_reductions_and_sources(world: World) -> None:
    made = world.invoice(
        NewItem("VIS", allowances=((100, "regular"),), source="rx:1"),
        NewItem(description="Bandage", department="desk", unit_price_e4=1_230_000, tax=TaxGroup("S", 700)),
        adjustments=[NewAdjustment(charge=True, amount_minor=50, reason="fee", tax=TaxGroup("S", 700))],
    )
    before = _seen(world, made.id)

    world.run(lambda tx: invoices.edit_invoice(tx, invoice_id=made.id, note="hello"))

    after = _seen(world, made.id)
    assert after.note == "hello"
    assert after.invoice.total_minor == before.invoice.total_minor
    assert [(i.code, i.description, i.total_minor, i.source) for i in after.items] == [
        (i.code, i.description, i.total_minor, i.source) for i in before.items
    ]
    assert [(r.charge, r.amount_minor, r.reason) for r in after.reductions] == [
        (r.charge, r.amount_minor, r.reason) for r in before.reductions
    ]
    assert world.read(lambda tx: tx.session.scalars(select(SourceClaim.source)).all()) == ["rx:1"]


def test_stale_version_is_refused(world: World) -> None:
    made = world.invoice("VIS")
    world.run(lambda tx: invoices.edit_invoice(tx, invoice_id=made.id, note="x", version=1))

    assert _code(lambda: world.run(lambda tx: invoices.edit_invoice(tx, invoice_id=made.id, note="y", version=1))) == "invoice_changed"


def test_issued_invoice_never_changes(world: World) -> None:
    made = world.invoice("VIS")
    world.run(lambda tx: invoice_steps.issue_invoice(tx, invoice_id=made.id))
    before = world.dump()

    assert _code(lambda: world.run(lambda tx: invoices.edit_invoice(tx, invoice_id=made.id, note="x"))) == "invoice_not_draft"
    assert _code(lambda: world.run(lambda tx: invoice_steps.issue_invoice(tx, invoice_id=made.id))) == "invoice_not_draft"

    assert world.dump() == before


def test_issue_keeps_what_the_invoice_says_as_a_hash(world: World) -> None:
    made = world.invoice("VIS", "PEN:3")
    world.run(lambda tx: invoice_steps.issue_invoice(tx, invoice_id=made.id))

    def unit(tx: Transaction) -> tuple[str, str]:
        invoice = tx.session.execute(select(*Invoice.__table__.columns).where(Invoice.id == made.id)).mappings().one()
        items = tx.session.execute(select(*InvoiceItem.__table__.columns).where(InvoiceItem.invoice_id == made.id)).mappings().all()
        return invoice["content_hash"], invoice_content_hash(dict(invoice), [dict(item) for item in items])

    stored, computed = world.read(unit)
    assert stored == computed


def test_due_date_follows_the_clinics_days_and_its_calendar(database_url: str) -> None:
    world = World(database_url, clinic="far", time_zone="Pacific/Honolulu", payment_days=10)
    world.service("VIS")
    made = world.invoice("VIS")
    at = datetime(2026, 3, 1, 5, tzinfo=UTC)  # still 28 February in Honolulu

    step = world.run(lambda tx: invoice_steps.issue_invoice(tx, invoice_id=made.id), at=at)

    assert step.due_date == date(2026, 3, 10)
    other = world.invoice("VIS")
    past = date(2026, 2, 27)
    assert _code(lambda: world.run(lambda tx: invoice_steps.issue_invoice(tx, invoice_id=other.id, due_date=past), at=at)) == "bad_due_date"
    assert world.run(lambda tx: invoice_steps.issue_invoice(tx, invoice_id=other.id, due_date=date(2026, 2, 28)), at=at).due_date == date(
        2026, 2, 28
    )
    world.dispose()


def test_overdue_is_seen_the_day_after_and_never_stored(world: World) -> None:
    made = world.invoice("VIS")
    world.run(lambda tx: invoice_steps.issue_invoice(tx, invoice_id=made.id), at=datetime.now(UTC) - timedelta(days=15))

    seen = _seen(world, made.id)
    stored = world.read(lambda tx: tx.session.scalars(select(Invoice.status).where(Invoice.id == made.id)).one())

    assert (seen.invoice.status, stored) == ("overdue", "sent")
    assert [row.id for row in world.read(lambda tx: listing.list_invoices(tx, status="overdue"))] == [made.id]


def test_failures_leave_no_gap_in_the_numbers(world: World) -> None:
    first = world.invoice("VIS")
    for _ in range(5):
        assert _code(lambda: world.invoice("VIS", expected_total_minor=1)) == "total_differs"

    second = world.invoice("VIS")

    assert (first.number, second.number) == (f"INV-{datetime.now(UTC).year}-00001", f"INV-{datetime.now(UTC).year}-00002")


def test_number_of_a_unit_that_is_undone_after_it_was_taken_goes_to_the_next_one(world: World) -> None:
    patient = world.patient()
    undone = []

    def bill_and_fail(tx: Transaction) -> None:
        made = invoices.create_invoice(tx, patient_id=patient, items=items_of(["VIS"]))
        tx.flush()
        undone.append(made.number)
        raise KeyError("undone")

    for _ in range(3):
        with pytest.raises(KeyError, match="undone"):
            world.run(bill_and_fail)

    assert undone == [world.invoice("VIS").number] * 3


def test_clinic_that_numbers_at_issue_leaves_drafts_without_one(world: World) -> None:
    world.run(lambda tx: update_clinic(tx, changes={"policy": {"numbers_at": "issue"}}))
    drafts = [world.invoice("VIS") for _ in range(3)]
    world.run(lambda tx: invoice_steps.cancel_invoice(tx, invoice_id=drafts[1].id, reason="discarded"))

    steps = [world.run(lambda tx, d=draft: invoice_steps.issue_invoice(tx, invoice_id=d.id)) for draft in (drafts[0], drafts[2])]  # type: ignore[misc]
    paid = world.invoice("FREE")
    world.pay(paid.id)

    assert [draft.number for draft in drafts] == [None, None, None]
    assert [str(step.number)[-5:] for step in steps] == ["00001", "00002"]
    assert str(_seen(world, paid.id).invoice.number)[-5:] == "00003"
    assert world.read(lambda tx: tx.session.scalars(select(NumberCounter.latest_value).where(NumberCounter.series == "invoice")).one()) == 3


class Quoting:
    """A department that answers quotes."""

    def __init__(self, *answers: Any) -> None:
        self.answers = answers

    @hookimpl
    def declare(self) -> Declaration:
        return Declaration(departments=(Department("desk", "Desk", effects=False),))

    @hookimpl
    def quote_lines(self) -> Any:
        return self.answers


def test_plugin_prices_its_lines_with_a_reason_and_a_persons_price_stands(database_url: str) -> None:
    answers = [Price(1, 200_000, "follow-up"), Price(2, 1, "ignored"), Allowance(1, 5, "regular"), Charge(1, 7, "late hour")]
    world = World(database_url, plugins={"desk": Quoting(*answers)})
    world.service("VIS")

    made = world.invoice("VIS", NewItem("VIS", unit_price_e4=30_000))

    seen = _seen(world, made.id)
    assert [(item.unit_price_e4, item.price_reason, item.total_minor) for item in seen.items] == [
        (200_000, "follow-up", 22),
        (30_000, "", 3),
    ]
    assert {(r.charge, r.amount_minor, r.reason) for r in seen.reductions} == {(False, 5, "regular"), (True, 7, "late hour")}
    world.dispose()


@pytest.mark.parametrize("answer", [Price(9, 1, "x"), Price(1, -1, "x"), Price(1, 1.5, "x"), Allowance(1, -1, "x"), "rubbish", None])  # type: ignore[arg-type]
def test_bad_answer_to_a_quote_names_the_plugin(answer: Any, database_url: str) -> None:
    world = World(database_url, plugins={"desk": Quoting(answer)})
    world.service("VIS")

    assert _code(lambda: world.invoice("VIS")) == "plugin_violation"
    world.dispose()


def test_list_pages_by_key_latest_first(world: World) -> None:
    patient = world.patient()
    made = [world.invoice("PEN", patient_id=patient).id for _ in range(7)]

    def pages(tx: Transaction) -> list[list[str]]:
        found, after = [], None
        while page := listing.list_invoices(tx, limit=3, after=after):
            found.append([row.id for row in page])
            after = page[-1]
        return found

    assert world.read(pages) == [made[:3:-1], made[3:0:-1], made[:1]]
    assert world.read(lambda tx: [row.id for row in listing.every_invoice(tx)]) == made[::-1]


def test_invoice_is_found_by_its_number_and_not_by_anothers(world: World) -> None:
    made = world.invoice("PEN")

    assert _seen(world, str(made.number)).invoice.id == made.id
    assert _code(lambda: _seen(world, "INV-1999-00001")) == "unknown_invoice"
    assert _code(lambda: world.read(lambda tx: listing.list_invoices(tx, status="nope"))) == "bad_status"


def test_what_is_handed_on_to_a_department_unseen_needs_the_importers_permission(world: World) -> None:
    def member(tx: Transaction) -> None:
        staff = Staff(id=new_id(), login="vera", name="Vera", created_at=tx.at)
        tx.session.add(staff)
        tx.session.flush()  # the membership refers to the person
        tx.session.add(Membership(staff_id=staff.id, name="Vera", role="clinician", provider=True, created_at=tx.at))

    world.run(member)
    patient = world.patient()
    forged = NewItem("VIS", given={"results": [{"value": "1"}]})

    with pytest.raises(BillingError) as caught:
        world.run(lambda tx: invoices.create_invoice(tx, patient_id=patient, items=[forged]), actor="vera")

    assert caught.value.facts["permission"] == "imports.run"


def test_invoice_and_receipt_may_come_from_other_series_each_gapless_on_its_own(world: World) -> None:
    from billing.services.series import add_series

    world.run(lambda tx: add_series(tx, series="house-calls", kind="invoice", format="HC-{number:04}", reset="never", start_value=100))
    world.run(lambda tx: add_series(tx, series="till-2", kind="receipt", format="T2-{number:04}", reset="never"))

    numbers = [world.invoice("PEN", series=series).number for series in ("house-calls", None, "house-calls")]
    paid = world.pay(world.invoice("PEN").id, "cash 0.06", series="till-2")

    assert [numbers[0], numbers[2], paid.receipt_number] == ["HC-0100", "HC-0101", "T2-0001"]
    assert _code(lambda: world.invoice("PEN", series="till-2")) == "unknown_series"


def test_series_can_be_named_at_issue_only_while_there_is_no_number(world: World) -> None:
    made = world.invoice("PEN")

    assert _code(lambda: world.run(lambda tx: invoice_steps.issue_invoice(tx, invoice_id=made.id, series="invoice"))) == "numbered_already"
    world.run(lambda tx: update_clinic(tx, changes={"policy": {"numbers_at": "issue"}}))
    draft = world.invoice("PEN")
    step = world.run(lambda tx: invoice_steps.issue_invoice(tx, invoice_id=draft.id, series="invoice"))
    assert str(step.number)[-5:] == "00002"


def test_provider_who_has_left_is_not_billed_for_but_stays_on_drafts(world: World) -> None:
    from billing.services.staff import add_provider, deactivate_membership

    provider = world.run(lambda tx: add_provider(tx, name="Dr. Gone")).id
    draft = world.invoice("VIS", provider_id=provider)
    world.run(lambda tx: deactivate_membership(tx, member=provider))

    assert _code(lambda: world.invoice("VIS", provider_id=provider)) == "unknown_provider"
    assert world.run(lambda tx: invoices.edit_invoice(tx, invoice_id=draft.id, note="still hers")).version == 2


def test_every_step_of_an_invoice_has_its_event_and_its_audit_entry(world: World) -> None:
    made = world.invoice("VIS")
    world.run(lambda tx: invoices.edit_invoice(tx, invoice_id=made.id, note="seen"))
    world.run(lambda tx: invoice_steps.issue_invoice(tx, invoice_id=made.id))
    world.run(lambda tx: invoice_steps.cancel_invoice(tx, invoice_id=made.id, reason="billed twice"))

    def about(tx: Transaction, column: Any, table: Any, order: Any) -> list[str]:
        return [*tx.session.scalars(select(column).where(table.subject_id == made.id).order_by(order))]

    steps = ["invoice.created", "invoice.changed", "invoice.issued", "invoice.cancelled"]
    assert world.read(lambda tx: about(tx, Event.topic, Event, Event.id)) == steps
    assert world.read(lambda tx: about(tx, AuditEntry.action, AuditEntry, AuditEntry.position)) == steps
