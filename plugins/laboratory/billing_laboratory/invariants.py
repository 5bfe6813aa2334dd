"""What must always hold in the laboratory's books, as selects that return what breaks it. They judge; they mend nothing."""

from sqlalchemy import exists, func, select

from billing.plugin import CLINIC, Base, Invariant
from billing_laboratory.model import LabOrder, LabResult, LabTest, PanelMember
from billing_laboratory.rules import DEPARTMENT, OrderStatus, ResultStatus

_ITEM = Base.metadata.tables["invoice_item"]

_LIVE = LabOrder.status != OrderStatus.CANCELLED.value
_DONE = LabOrder.status.in_([OrderStatus.FINAL.value, OrderStatus.AMENDED.value])
_RELEASED = LabResult.status.in_([ResultStatus.FINAL.value, ResultStatus.AMENDED.value])
_UNDECIDED = LabResult.status.in_([ResultStatus.PENDING.value]) | (
    LabResult.supersedes_id.is_(None) & (LabResult.status == ResultStatus.PRELIMINARY.value)
)

_ORDER_OF_ITEM = exists(select(LabOrder.id).where(LabOrder.clinic_id == CLINIC, LabOrder.item_id == _ITEM.c.id))
_PAID = exists(select(_ITEM.c.id).where(_ITEM.c.clinic_id == CLINIC, _ITEM.c.id == LabOrder.item_id, _ITEM.c.payment_id.is_not(None)))
_ORDER_OF_RESULT = exists(select(LabOrder.id).where(LabOrder.clinic_id == CLINIC, LabOrder.id == LabResult.order_id))
_RESULT_OF_ORDER = exists(select(LabResult.id).where(LabResult.clinic_id == CLINIC, LabResult.order_id == LabOrder.id))
_UNDECIDED_OF_ORDER = exists(select(LabResult.id).where(LabResult.clinic_id == CLINIC, LabResult.order_id == LabOrder.id, _UNDECIDED))
_MEMBER_OF_TEST = exists(select(PanelMember.analyte_id).where(PanelMember.clinic_id == CLINIC, PanelMember.test_id == LabTest.id))

INVARIANTS = (
    Invariant(
        "lab_order_once",
        "An item has one laboratory order that is not cancelled, at most.",
        select(LabOrder.item_id, func.count().label("orders"))
        .where(LabOrder.clinic_id == CLINIC, _LIVE)
        .group_by(LabOrder.item_id)
        .having(func.count() > 1),
    ),
    Invariant(
        "lab_order_of_paid_item",
        "Every paid item of the laboratory was ordered.",
        select(_ITEM.c.id.label("item_id"), _ITEM.c.code).where(
            _ITEM.c.clinic_id == CLINIC, _ITEM.c.department == DEPARTMENT, _ITEM.c.payment_id.is_not(None), ~_ORDER_OF_ITEM
        ),
    ),
    Invariant(
        "lab_order_is_paid",
        "No laboratory order stands for an item that is not paid.",
        select(LabOrder.id.label("order_id"), LabOrder.item_id).where(LabOrder.clinic_id == CLINIC, _LIVE, ~_PAID),
    ),
    Invariant(
        "lab_order_has_results",
        "Every laboratory order has at least one result.",
        select(LabOrder.id.label("order_id"), LabOrder.item_id).where(LabOrder.clinic_id == CLINIC, ~_RESULT_OF_ORDER),
    ),
    Invariant(
        "lab_result_of_order",
        "Every laboratory result belongs to an order.",
        select(LabResult.id.label("result_id"), LabResult.order_id).where(LabResult.clinic_id == CLINIC, ~_ORDER_OF_RESULT),
    ),
    Invariant(
        "lab_result_two_people",
        "A verified laboratory result was entered by one person and verified by another.",
        select(LabResult.id.label("result_id"), LabResult.order_id).where(
            LabResult.clinic_id == CLINIC,
            _RELEASED,
            LabResult.entered_by.is_(None) | LabResult.verified_by.is_(None) | (LabResult.entered_by == LabResult.verified_by),
        ),
    ),
    Invariant(
        "lab_order_final",
        "A final laboratory order has no result that waits to be entered or verified.",
        select(LabOrder.id.label("order_id"), LabOrder.status).where(LabOrder.clinic_id == CLINIC, _DONE, _UNDECIDED_OF_ORDER),
    ),
    Invariant(
        "lab_test_measures",
        "Every test of the laboratory measures at least one analyte.",
        select(LabTest.id.label("test_id"), LabTest.name).where(LabTest.clinic_id == CLINIC, ~_MEMBER_OF_TEST),
    ),
)
