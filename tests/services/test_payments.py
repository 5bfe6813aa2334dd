"""Payments: departments whole or not at all, money on account, change, keys, dry runs, drafts paid at once."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from billing.errors import BillingError
from billing.model import AuditEntry, Consultation, Effect, Event, Invoice, Membership, new_id
from billing.plugin import Method, Refused
from billing.rules.settlement import Scope
from billing.rules.tenders import Tender
from billing.services import invoice_steps, payment_preview, payments, reading
from billing.services.clinics import order_departments, set_plugin
from billing.testing.shelf import Desk, Shelf
from billing.testing.world import World
from billing.transaction import Transaction


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    made = World(database_url)
    made.run(lambda tx: order_departments(tx, codes=["desk", "shelf"]))
    yield made
    made.dispose()


@pytest.fixture
def bill(world: World) -> str:
    """Return an issued invoice: desk 44.00, shelf 66.00."""
    world.service("VIS", price="44.00")
    world.lot(world.service("AMX", department="shelf", price="30.00", tax="S 1000"), "10")
    made = world.invoice("VIS", "AMX:2")
    world.run(lambda tx: invoice_steps.issue_invoice(tx, invoice_id=made.id))
    return made.id


def _code(call: Any) -> str:
    with pytest.raises(BillingError) as caught:
        call()
    return caught.value.code


def _seen(world: World, invoice_id: str) -> reading.InvoiceSeen:
    return world.read(lambda tx: reading.read_invoice(tx, invoice=invoice_id))


def test_department_is_paid_whole_and_items_show_their_receipt(world: World, bill: str) -> None:
    taken = world.pay(bill, "cash 70", scope="shelf")

    seen = _seen(world, bill)
    assert (taken.applied_minor, taken.change_minor, taken.status) == (6600, 400, "partial")
    assert {item.department: item.receipt_number for item in seen.items} == {"desk": None, "shelf": taken.receipt_number}


@pytest.mark.parametrize(
    ("tenders", "scope", "code"),
    [
        (["cash 65.99"], "shelf", "underpaid"),
        (["card 66.01"], "shelf", "overpaid"),
        (["card 60", "cash 5.99"], "shelf", "underpaid"),
        ([], "shelf", "underpaid"),
        (["cheque 66"], "shelf", "unknown_method"),
        (["cash 66"], "nowhere", "unknown_department"),
        (["cash 0"], "ON_ACCOUNT", "bad_payment_amount"),
        ([], "ON_ACCOUNT", "bad_payment_amount"),
        (["cash 110.01"], "ON_ACCOUNT", "bad_payment_amount"),
    ],
)
def test_wrong_money_is_refused_and_changes_nothing(tenders: list[str], scope: str, code: str, world: World, bill: str) -> None:
    before = world.dump()

    assert _code(lambda: world.pay(bill, *tenders, scope=scope)) == code

    assert world.dump() == before


@pytest.mark.parametrize("method", ["cash", "card", "transfer"])
def test_exact_amount_is_accepted_by_every_method(method: str, world: World, bill: str) -> None:
    taken = world.pay(bill, f"{method} 110")

    assert (taken.change_minor, taken.status) == (0, "paid")


def test_several_tenders_make_one_payment_with_change_from_cash(world: World, bill: str) -> None:
    taken = world.pay(bill, "card 60", "cash 100")

    assert (taken.tendered_minor, taken.change_minor, taken.applied_minor) == (16000, 5000, 11000)


def test_instalments_settle_departments_whole_in_the_clinics_order(world: World, bill: str) -> None:
    first = world.pay(bill, "cash 43.99", scope="ON_ACCOUNT")
    second = world.pay(bill, "cash 0.01", scope="ON_ACCOUNT")
    third = world.pay(bill, "transfer 66", scope="on_account")

    assert [item.code for item in first.items] == []
    assert [item.code for item in second.items] == ["VIS"]
    assert [item.code for item in third.items] == ["AMX"]
    assert (third.status, third.amount_due_minor) == ("paid", 0)


def test_money_on_account_lowers_what_is_due_for_the_last_scope(world: World, bill: str) -> None:
    world.pay(bill, "cash 20", scope="ON_ACCOUNT")
    world.pay(bill, "cash 66", scope="shelf")

    rest = world.pay(bill, "cash 24", scope="desk")

    assert (rest.due_minor, rest.status) == (2400, "paid")


def test_amount_on_account_may_be_less_than_what_is_tendered_in_cash(world: World, bill: str) -> None:
    taken = world.pay(bill, "cash 50", scope="ON_ACCOUNT", applied_minor=3000)

    assert (taken.applied_minor, taken.change_minor) == (3000, 2000)


def test_paid_invoice_says_so(world: World, bill: str) -> None:
    world.pay(bill, "cash 110")

    assert _code(lambda: world.pay(bill, "cash 110")) == "already_paid"
    assert _code(lambda: world.pay(bill, "cash 1", scope="ON_ACCOUNT")) == "already_paid"


def test_cancelled_invoice_cannot_be_paid(world: World, bill: str) -> None:
    world.run(lambda tx: invoice_steps.cancel_invoice(tx, invoice_id=bill, reason="wrong patient"))

    assert _code(lambda: world.pay(bill, "cash 110")) == "invoice_cancelled"


def test_draft_is_issued_and_paid_in_one_transaction(world: World) -> None:
    world.service("VIS")
    made = world.invoice("VIS")

    world.pay(made.id, "cash 10")

    actions = world.read(lambda tx: tx.session.scalars(select(AuditEntry.action).where(AuditEntry.subject_id == made.id)).all())
    assert _seen(world, made.id).invoice.issue_date is not None
    assert list(actions) == ["invoice.created", "invoice.issued"]


def test_nothing_due_can_be_settled_and_reaches_its_department(world: World) -> None:
    world.service("FREE", price="0.00")
    made = world.invoice("FREE")

    taken = world.pay(made.id)

    effects = world.read(lambda tx: tx.session.scalars(select(Effect.kind).where(Effect.action_id == taken.id)).all())
    assert (taken.applied_minor, taken.status, taken.receipt_number[-5:]) == (0, "paid", "00001")
    assert list(effects) == ["desk.done"]


def test_zero_department_settles_in_its_turn(world: World) -> None:
    world.lot(world.service("SAMPLE", department="shelf", price="0.00"), "1")
    world.service("VIS", price="44.00")
    made = world.invoice("VIS", "SAMPLE")

    taken = world.pay(made.id, "cash 44", scope="desk")

    assert {item.code for item in taken.items} == {"VIS", "SAMPLE"}


def test_same_key_gives_the_same_answer_and_another_request_is_refused(world: World, bill: str) -> None:
    first = world.pay(bill, "cash 70", scope="shelf", key="k")
    before = world.dump()

    again = world.pay(bill, "cash 70", scope="shelf", key="k")

    assert (again.id, again.receipt_number, again.change_minor, again.items) == (
        first.id,
        first.receipt_number,
        first.change_minor,
        first.items,
    )
    assert again.replayed
    assert _code(lambda: world.pay(bill, "cash 71", scope="shelf", key="k")) == "key_reused"
    assert world.dump() == before


def test_key_of_a_failed_payment_can_be_used_again(world: World, bill: str) -> None:
    assert _code(lambda: world.pay(bill, "cash 1", key="k")) == "underpaid"

    assert world.pay(bill, "cash 110", key="k").status == "paid"


@pytest.mark.parametrize("reference", ["x" * 201, "a\0b", "two\nlines"])
def test_unusable_reference_is_refused(reference: str, world: World, bill: str) -> None:
    tender = Tender("transfer", 11000, reference)

    assert (
        _code(lambda: world.run(lambda tx: payments.take_payment(tx, invoice_id=bill, scope=Scope.all(), tenders=[tender]))) == "bad_text"
    )


@pytest.mark.parametrize("key", ["", "x" * 256, "a\0b"])
def test_unusable_key_is_refused(key: str, world: World, bill: str) -> None:
    assert _code(lambda: world.pay(bill, "cash 110", key=key)) == "bad_text"


def test_dry_run_shows_due_effects_and_vetoes_and_stores_nothing(world: World, bill: str) -> None:
    world.pay(bill, "cash 44", scope="desk")
    before = world.dump()

    shown = world.read(lambda tx: payment_preview.preview_payment(tx, invoice_id=bill, scope=Scope.all()))

    assert (shown.due_minor, [item.code for item in shown.items], shown.vetoes) == (6600, ["AMX"], ())
    assert [(effect.plugin, effect.kind, effect.quantity_milli) for effect in shown.effects] == [("shelf", "shelf.taken", 2000)]
    assert world.dump() == before


def test_dry_run_collects_every_veto(database_url: str) -> None:
    def no(*_: Any) -> None:
        raise Refused("not today")

    world = World(database_url, plugins={"shelf": Shelf(check=no), "desk": Desk()})
    world.service("AMX", department="shelf")
    world.service("VIS")
    made = world.invoice("AMX", "VIS")

    shown = world.read(lambda tx: payment_preview.preview_payment(tx, invoice_id=made.id, scope=Scope.all()))

    assert [(veto.plugin, veto.sentence) for veto in shown.vetoes] == [("shelf", "not today")]
    assert [effect.plugin for effect in shown.effects] == ["desk"]
    assert _code(lambda: world.pay(made.id, "cash 20")) == "refused"
    world.dispose()


def test_disabled_department_cannot_be_paid_while_others_can(world: World, bill: str) -> None:
    world.run(lambda tx: set_plugin(tx, name="shelf", enabled=False))

    assert _code(lambda: world.pay(bill, "cash 110")) == "department_unavailable"
    assert world.pay(bill, "cash 44", scope="desk").status == "partial"
    world.run(lambda tx: set_plugin(tx, name="shelf", enabled=True))
    assert world.pay(bill, "cash 66").status == "paid"


def test_consultation_stands_for_its_open_invoice(world: World) -> None:
    def visit(tx: Transaction) -> tuple[str, str]:
        provider = Membership(id=new_id(), name="Vet", role="clinician", provider=True, created_at=tx.at)
        tx.session.add(provider)
        tx.session.flush()  # the visit refers to the provider
        made = Consultation(
            id=new_id(),
            patient_id=patient,
            provider_id=provider.id,
            kind="visit",
            status="open",
            at=tx.at,
            created_at=tx.at,
            opened_at=tx.at,
        )
        tx.session.add(made)
        return made.id, provider.id

    patient = world.patient()
    world.service("VIS")
    consultation, _ = world.run(visit)

    def pay() -> payments.PaymentTaken:
        return world.run(lambda tx: payments.take_payment(tx, consultation_id=consultation, scope=Scope.all(), tenders=_cash(tx)))

    assert _code(pay) == "choose_invoice"
    first = world.invoice("VIS", patient_id=patient, consultation_id=consultation)
    assert pay().invoice_id == first.id
    for _ in range(2):
        world.invoice("VIS", patient_id=patient, consultation_id=consultation)
    assert _code(pay) == "choose_invoice"


def _cash(tx: Transaction) -> Any:
    from billing.testing.world import tenders_of

    return tenders_of(tx, ["cash 10"])


def test_cash_is_rounded_where_the_currency_has_no_small_coins_and_card_is_not(database_url: str) -> None:
    world = World(database_url, clinic="bern", currency="CHF", time_zone="Europe/Zurich")
    world.service("VIS", price="12.33")

    in_cash = world.pay(world.invoice("VIS").id, "cash 20")
    by_card = world.pay(world.invoice("VIS").id, "card 12.33")

    assert (in_cash.applied_minor, in_cash.rounding_minor, in_cash.change_minor) == (1233, 2, 765)
    assert (by_card.applied_minor, by_card.rounding_minor) == (1233, 0)
    world.dispose()


def test_method_of_a_plugin_can_be_used_where_the_plugin_is_enabled(database_url: str) -> None:
    from billing.plugin import Declaration, hookimpl

    class Vouchers:
        @hookimpl
        def declare(self) -> Declaration:
            return Declaration(methods=(Method("voucher", needs_reference=True),))

    world = World(database_url, plugins={"desk": Desk(), "vouchers": Vouchers()})
    world.service("VIS")

    assert _code(lambda: world.pay(world.invoice("VIS").id, "voucher 10")) == "reference_missing"
    assert world.pay(world.invoice("VIS").id, "voucher 10 V-1").status == "paid"
    world.dispose()


def test_invoice_of_another_clinic_is_answered_like_one_that_does_not_exist(world: World, bill: str) -> None:
    world.found("south")

    def pay(invoice_id: str) -> str:
        with pytest.raises(BillingError) as caught:
            world.run(lambda tx: payments.take_payment(tx, invoice_id=invoice_id, scope=Scope.all(), tenders=[]), clinic="south")
        return caught.value.sentence

    missing = new_id()
    assert pay(bill).replace(bill, "?") == pay(missing).replace(missing, "?")


@pytest.mark.parametrize("wrong", ["", "x", "' OR 1=1 --", "\0", "a" * 10_000])
def test_what_is_no_id_is_not_found(wrong: str, world: World) -> None:
    assert _code(lambda: world.pay(wrong, "cash 1")) in {"not_found", "choose_invoice"}


def test_receipt_numbers_start_again_with_the_clinics_own_new_year(database_url: str) -> None:
    world = World(database_url, clinic="far", time_zone="Pacific/Kiritimati")
    world.service("VIS")
    before = datetime(2026, 12, 31, 9, 59, tzinfo=UTC)  # 23:59 on Kiritimati, UTC+14
    after = datetime(2026, 12, 31, 10, 0, tzinfo=UTC)

    numbers = [world.pay(world.invoice("VIS").id, "cash 10", at=at).receipt_number for at in (before, after, after)]

    assert numbers == ["R-2026-00001", "R-2027-00001", "R-2027-00002"]
    world.dispose()


def test_one_event_and_one_audit_entry_for_each_payment(world: World, bill: str) -> None:
    taken = world.pay(bill, "cash 110")

    events = world.read(lambda tx: tx.session.scalars(select(Event.topic).where(Event.subject_id == taken.id)).all())
    entries = world.read(
        lambda tx: tx.session.execute(select(AuditEntry.action, AuditEntry.number_value).where(AuditEntry.subject_id == taken.id)).all()
    )
    assert sorted(events) == ["payment.taken", "shelf.sold"]
    assert [tuple(entry) for entry in entries] == [("payment.taken", 1)]


def test_two_items_of_one_lot_take_both_from_it(world: World) -> None:
    lot = world.lot(world.service("AMX", department="shelf", price="2.00"), "10")
    made = world.invoice("AMX:3", "AMX:2.5")

    world.pay(made.id, "cash 11")

    assert world.on_hand(lot) == 4500


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15)
@given(data=st.data())
def test_any_mix_of_payments_ends_with_everything_settled_and_exact(data: st.DataObject, world: World) -> None:
    if not world.read(lambda tx: tx.session.scalar(select(Invoice.id).limit(1))):
        world.lot(world.service("M1", department="shelf", price="0.37", tax="S 1900"), "100000")
        world.service("M2", price="19.99", tax="S 700")
        world.service("M3", price="0.00")
    codes = data.draw(st.lists(st.sampled_from(["M1", "M2", "M3", "M1:2.5"]), min_size=1, max_size=6))
    made = world.invoice(*codes)
    due, settled, paid = made.total_minor, 0, 0

    while world.read(lambda tx: reading.read_invoice(tx, invoice=made.id)).invoice.status != "paid":
        amount = data.draw(st.integers(0, due)) if due else 0
        if amount:
            taken = world.pay(made.id, f"cash {amount // 100}.{amount % 100:02}", scope="ON_ACCOUNT")
        else:
            taken = world.pay(made.id, f"cash {due // 100}.{due % 100:02}") if due else world.pay(made.id)
        paid += taken.applied_minor
        due -= taken.applied_minor
        settled += sum(item.total_minor for item in taken.items)
        assert taken.amount_due_minor == due
        assert 0 <= taken.on_account_minor == paid - settled

    assert (paid, settled, due) == (made.total_minor, made.total_minor, 0)
