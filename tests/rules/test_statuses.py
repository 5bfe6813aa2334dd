"""The states of an invoice: the stored one, the shown one, and what may be done in each."""

from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.errors import BillingError, Conflict, Refused
from billing.rules.statuses import (
    ALLOWED,
    Action,
    InvoiceAlreadyPaid,
    InvoiceCancelled,
    InvoiceHasPayments,
    InvoiceNotDraft,
    InvoiceNotIssued,
    InvoiceNotPaid,
    InvoiceStatus,
    amount_due,
    check_action,
    shown_status,
    stored_status,
)

TODAY = date(2026, 11, 20)
DRAFT, SENT, PARTIAL, PAID, CANCELLED = InvoiceStatus


def status_of(**changed: Any) -> InvoiceStatus:
    """The status of an issued invoice of 154.00 of which nothing is paid, but for what is changed."""
    facts: dict[str, Any] = {
        "issued": True,
        "cancelled": False,
        "total_minor": 15_400,
        "credited_minor": 0,
        "amount_paid_minor": 0,
        "written_off_minor": 0,
        "has_unpaid_items": True,
        "has_live_payment": False,
    }
    return stored_status(**(facts | changed))


PAID_IN_FULL = {"amount_paid_minor": 15_400, "has_unpaid_items": False, "has_live_payment": True}


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({}, SENT),
        ({"issued": False}, DRAFT),
        ({"issued": False, "total_minor": 0, "has_unpaid_items": False}, DRAFT),
        ({"issued": False, "cancelled": True}, CANCELLED),
        ({"cancelled": True}, CANCELLED),
        ({"cancelled": True} | PAID_IN_FULL, CANCELLED),
        ({"credited_minor": 15_400, "has_unpaid_items": False, "has_live_payment": True}, CANCELLED),
        ({"credited_minor": 15_399, "has_live_payment": True, "amount_paid_minor": 1, "has_unpaid_items": False}, PAID),
        ({"credited_minor": 5_400}, SENT),
        (PAID_IN_FULL, PAID),
        (PAID_IN_FULL | {"has_unpaid_items": True}, PARTIAL),
        ({"amount_paid_minor": 15_399, "has_live_payment": True}, PARTIAL),
        ({"amount_paid_minor": 1, "has_live_payment": True}, PARTIAL),
        ({"has_live_payment": True}, PARTIAL),
        ({"written_off_minor": 15_400}, PAID),
        ({"total_minor": 1, "written_off_minor": 1}, PAID),
        ({"total_minor": 1, "credited_minor": 1}, CANCELLED),
        ({"amount_paid_minor": 5_400, "written_off_minor": 10_000, "has_live_payment": True}, PAID),
        ({"written_off_minor": 10_000}, SENT),
        ({"total_minor": 0}, SENT),
        ({"total_minor": 0, "has_live_payment": True}, PARTIAL),
        ({"total_minor": 0, "has_live_payment": True, "has_unpaid_items": False}, PAID),
    ],
)
def test_stored_status_is_the_first_that_holds(changed: dict[str, Any], status: InvoiceStatus) -> None:
    assert status_of(**changed) == status


def test_voiding_the_only_payment_brings_back_sent() -> None:
    before = status_of(**PAID_IN_FULL)
    after = status_of(amount_paid_minor=0, has_unpaid_items=True, has_live_payment=False)

    assert (before, after) == (PAID, SENT)


def test_amount_due_is_what_is_neither_paid_nor_written_off_nor_credited() -> None:
    assert amount_due(15_400, 6_600, 1_000, 800) == 7_000


@pytest.mark.parametrize(
    ("days_late", "shown"),
    [(-1, "sent"), (0, "sent"), (1, "overdue"), (400, "overdue")],
)
def test_invoice_is_overdue_from_the_day_after_its_due_date(days_late: int, shown: str) -> None:
    due_date = TODAY - timedelta(days=days_late)

    assert shown_status(SENT, due_date=due_date, amount_due_minor=1, today=TODAY) == shown


@pytest.mark.parametrize(
    ("status", "amount_due_minor", "shown"),
    [
        (SENT, 100, "overdue"),
        (PARTIAL, 100, "overdue"),
        (SENT, 0, "sent"),
        (PARTIAL, 0, "partial"),
        (DRAFT, 100, "draft"),
        (PAID, 0, "paid"),
        (CANCELLED, 100, "cancelled"),
    ],
)
def test_overdue_needs_something_due_on_an_issued_invoice_and_wins_over_partial(
    status: InvoiceStatus, amount_due_minor: int, shown: str
) -> None:
    assert shown_status(status, due_date=date(2026, 1, 1), amount_due_minor=amount_due_minor, today=TODAY) == shown


@pytest.mark.parametrize("status", InvoiceStatus)
def test_invoice_without_a_due_date_is_never_overdue(status: InvoiceStatus) -> None:
    assert shown_status(status, due_date=None, amount_due_minor=100, today=TODAY) == status.value


TABLE = {
    # status: edit, issue, pay, cancel, void, refund, write_off
    DRAFT: (None, None, None, None, InvoiceNotPaid, InvoiceNotPaid, InvoiceNotIssued),
    SENT: (InvoiceNotDraft, InvoiceNotDraft, None, None, InvoiceNotPaid, InvoiceNotPaid, None),
    PARTIAL: (InvoiceNotDraft, InvoiceNotDraft, None, InvoiceHasPayments, None, None, None),
    PAID: (InvoiceNotDraft, InvoiceNotDraft, InvoiceAlreadyPaid, InvoiceHasPayments, None, None, InvoiceAlreadyPaid),
    CANCELLED: (InvoiceCancelled,) * 7,
}
CELLS = [(status, action, cell) for status, row in TABLE.items() for action, cell in zip(Action, row, strict=True)]


@pytest.mark.parametrize(("status", "action", "refusal"), CELLS)
def test_each_cell_of_the_state_table(status: InvoiceStatus, action: Action, refusal: type[BillingError] | None) -> None:
    paid = 100 if status in (PARTIAL, PAID) else 0

    try:
        check_action(status, action, amount_paid_minor=paid, number="INV-7")
    except (Refused, Conflict) as error:
        raised: type[BillingError] | None = type(error)
    else:
        raised = None

    assert raised is refusal
    assert (action in ALLOWED[status]) is (refusal is None)


@pytest.mark.parametrize(("status", "action", "refusal"), [cell for cell in CELLS if cell[2]])
def test_refusal_names_the_invoice_and_says_what_to_do_instead(status: InvoiceStatus, action: Action, refusal: type[BillingError]) -> None:
    with pytest.raises(refusal) as caught:
        check_action(status, action, amount_paid_minor=100, number="INV-7")

    reason, _, advice = caught.value.sentence.partition(": ")
    assert reason.startswith("Invoice INV-7 ")
    assert advice.endswith(".")
    assert caught.value.number == "INV-7"


@pytest.mark.parametrize(
    ("refusal", "code", "family"),
    [
        (InvoiceAlreadyPaid, "already_paid", Conflict),
        (InvoiceCancelled, "invoice_cancelled", Refused),
        (InvoiceNotDraft, "invoice_not_draft", Refused),
        (InvoiceNotIssued, "invoice_not_issued", Refused),
        (InvoiceHasPayments, "invoice_has_payments", Refused),
        (InvoiceNotPaid, "invoice_not_paid", Refused),
    ],
)
def test_refusals_have_stable_codes(refusal: type[BillingError], code: str, family: type[BillingError]) -> None:
    assert refusal.code == code
    assert issubclass(refusal, family)


@pytest.mark.parametrize("status", [DRAFT, SENT])
def test_invoice_that_holds_money_is_never_cancelled(status: InvoiceStatus) -> None:
    with pytest.raises(InvoiceHasPayments):
        check_action(status, Action.CANCEL, amount_paid_minor=1, number="INV-7")


def test_partial_invoice_with_a_payment_of_nothing_is_not_cancelled_either() -> None:
    with pytest.raises(InvoiceHasPayments):
        check_action(PARTIAL, Action.CANCEL, amount_paid_minor=0, number="INV-7")


def test_draft_without_a_number_is_called_this_invoice() -> None:
    with pytest.raises(InvoiceNotPaid, match=r"^This invoice has no payment to void"):
        check_action(DRAFT, Action.VOID, amount_paid_minor=0, number=None)


@given(
    total_minor=st.integers(0, 50),
    paid_share=st.integers(0, 50),
    due_date=st.none() | st.dates(date(2026, 11, 15), date(2026, 11, 25)),
    issued=st.booleans(),
    cancelled=st.booleans(),
    has_unpaid_items=st.booleans(),
    has_live_payment=st.booleans(),
)
def test_shown_status_differs_from_the_stored_one_only_by_overdue(
    *,
    total_minor: int,
    paid_share: int,
    due_date: date | None,
    issued: bool,
    cancelled: bool,
    has_unpaid_items: bool,
    has_live_payment: bool,
) -> None:
    paid = min(paid_share, total_minor)
    status = status_of(
        issued=issued,
        cancelled=cancelled,
        total_minor=total_minor,
        amount_paid_minor=paid,
        has_unpaid_items=has_unpaid_items,
        has_live_payment=has_live_payment,
    )

    shown = shown_status(status, due_date=due_date, amount_due_minor=total_minor - paid, today=TODAY)

    late = due_date is not None and due_date < TODAY and paid < total_minor
    assert shown == ("overdue" if late and issued and not cancelled else status)
