"""The laboratory's work: specimens collected and received, results entered by one person and verified by another. Knows no payment.

Every verb that changes results locks the order first, so two people at one order take turns.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from billing.plugin import CLINIC, Base, NotFound, Refused, Transaction, business_date
from billing_laboratory.catalogue import ranges_of
from billing_laboratory.model import Analyte, LabOrder, LabResult
from billing_laboratory.permissions import ENTER, VERIFY
from billing_laboratory.queries import UnknownOrder
from billing_laboratory.rules import (
    OPEN_RESULT,
    RELEASED_RESULT,
    OrderStatus,
    ResultStatus,
    choose_range,
    flag,
    order_status,
    range_text,
    read_text,
    read_value,
)

_PATIENT = Base.metadata.tables["patient"]


class OrderState(Refused):
    """The order is not at the step that this act needs. Facts: `order`, `status`."""

    code = "lab_order_state"


class NotInOrder(NotFound):
    """The order measures no such analyte. Facts: `order`, `loinc`."""

    code = "lab_analyte_not_in_order"


class NotEntered(Refused):
    """There is no value yet to verify or amend. Facts: `order`, `loinc`."""

    code = "lab_result_not_entered"


class AlreadyFinal(Refused):
    """A verified value is never edited, only amended. Facts: `order`, `loinc`."""

    code = "lab_result_final"


class AmendmentOpen(Refused):
    """An amendment of this result waits to be verified already. Facts: `order`, `loinc`."""

    code = "lab_amendment_open"


class SamePerson(Refused):
    """Who entered a result may not verify it. Facts: `order`, `loinc`."""

    code = "same_person"


@dataclass(frozen=True, slots=True)
class Progress:
    """How an order stands after a step, and the result that the step was about."""

    order: str
    status: str
    analyte: str | None = None
    result: str | None = None
    flag: str | None = None


def collect_order(tx: Transaction, *, order_id: str) -> Progress:
    """Note that the specimen was taken, now and by the actor. From here on the item can't be refunded. Raises `OrderState`."""
    tx.require(ENTER)
    order = _locked(tx, order_id)
    _need_state(order, {OrderStatus.ORDERED}, "no specimen is to be taken for it")
    order.status, order.collected_at, order.collected_by = str(OrderStatus.COLLECTED), tx.at, tx.actor.id
    tx.audit("lab.order.collected", "lab_order", order.id, item=order.item_id)
    return Progress(order.id, order.status)


def receive_order(tx: Transaction, *, order_id: str) -> Progress:
    """Note that the specimen has arrived in the laboratory; it may have been taken elsewhere. Raises `OrderState`."""
    tx.require(ENTER)
    order = _locked(tx, order_id)
    _need_state(order, {OrderStatus.ORDERED, OrderStatus.COLLECTED}, "no specimen is to be received for it")
    order.status, order.received_at, order.received_by = str(OrderStatus.RECEIVED), tx.at, tx.actor.id
    tx.audit("lab.order.received", "lab_order", order.id, item=order.item_id)
    return Progress(order.id, order.status)


def enter_result(tx: Transaction, *, order_id: str, analyte_code: str, value: str, measured_at: datetime | None = None) -> Progress:
    """Write down what was measured (now, unless it is said or known), to be verified by somebody else. Until then it may be entered again.

    Raises `OrderState` before the specimen was taken, `NotInOrder`, `AlreadyFinal`, and `UnreadableValue`.
    """
    tx.require(ENTER)
    order = _begun(tx, order_id)
    analyte, results = _of_analyte(tx, order, analyte_code)
    result = next((row for row in results if row.status in OPEN_RESULT), None)
    if result is None:
        raise AlreadyFinal(
            f"{analyte.name} is verified: correct it with `billing lab amend`, giving a reason.", order=order.id, loinc=analyte.loinc
        )
    result.value = read_value(value, kind=analyte.value_kind, decimals=analyte.decimals)
    result.status, result.measured_at = str(ResultStatus.PRELIMINARY), measured_at or result.measured_at or tx.at
    result.entered_by, result.entered_at = tx.actor.id, tx.at
    _settle(tx, order)
    tx.audit("lab.result.entered", "lab_result", result.id, order=order.id, loinc=analyte.loinc)
    return Progress(order.id, order.status, analyte.loinc, result.status)


def verify_result(tx: Transaction, *, order_id: str, analyte_code: str) -> Progress:
    """Release an entered value: judge it by the range for this patient, keep a copy of that range, make it final (an amendment: amended).

    Raises `SamePerson` if the actor has entered it, `NotEntered`, `AlreadyFinal`, `NotInOrder`.
    """
    tx.require(VERIFY)
    order = _begun(tx, order_id)
    analyte, results = _of_analyte(tx, order, analyte_code)
    result = next((row for row in results if row.status in OPEN_RESULT), None)
    if result is None:
        raise AlreadyFinal(f"{analyte.name} is verified already.", order=order.id, loinc=analyte.loinc)
    if result.value is None or result.entered_at is None:
        raise NotEntered(f"{analyte.name} has no value yet: `billing lab enter` takes it.", order=order.id, loinc=analyte.loinc)
    if result.entered_by == tx.actor.id:
        raise SamePerson(f"You entered {analyte.name}: somebody else must verify it.", order=order.id, loinc=analyte.loinc)
    patient = tx.session.execute(
        select(_PATIENT.c.sex, _PATIENT.c.birth_date, _PATIENT.c.species).where(
            _PATIENT.c.clinic_id == CLINIC, _PATIENT.c.id == order.patient_id
        ),
        {"clinic_id": tx.clinic_id},
    ).one()
    on = business_date(order.collected_at or result.measured_at or result.entered_at, tx.clinic.time_zone)
    limits = choose_range(ranges_of(tx, analyte.id), sex=patient.sex, birth_date=patient.birth_date, on=on, species=patient.species)
    result.flag, result.range_text = str(flag(result.value, limits, kind=analyte.value_kind)), range_text(limits)
    result.status = str(ResultStatus.FINAL if result.supersedes_id is None else ResultStatus.AMENDED)
    result.verified_by, result.verified_at = tx.actor.id, tx.at
    _settle(tx, order)
    tx.audit("lab.result.verified", "lab_result", result.id, order=order.id, loinc=analyte.loinc, flag=result.flag)
    return Progress(order.id, order.status, analyte.loinc, result.status, result.flag)


def amend_result(tx: Transaction, *, order_id: str, analyte_code: str, value: str, reason: str) -> Progress:
    """Enter another value for a verified one, with a reason. The old row stays, and stands until somebody else verifies the new one.

    Raises `NotEntered` if nothing is verified yet, `AmendmentOpen`, `NotInOrder`, and `UnreadableValue`.
    """
    tx.require(ENTER)
    why = read_text(reason, what="The reason of an amendment")
    order = _begun(tx, order_id)
    analyte, results = _of_analyte(tx, order, analyte_code)
    replaced = {row.supersedes_id for row in results if row.status in RELEASED_RESULT}
    current = next((row for row in results if row.status in RELEASED_RESULT and row.id not in replaced), None)
    if current is None:
        raise NotEntered(f"{analyte.name} is not verified yet: enter it again instead.", order=order.id, loinc=analyte.loinc)
    if any(row.status in OPEN_RESULT for row in results):
        raise AmendmentOpen(
            f"An amendment of {analyte.name} waits to be verified: verify it, or enter it again.", order=order.id, loinc=analyte.loinc
        )
    amended = LabResult(
        order_id=order.id,
        analyte_id=analyte.id,
        position=current.position,
        status=str(ResultStatus.PRELIMINARY),
        value=read_value(value, kind=analyte.value_kind, decimals=analyte.decimals),
        unit=current.unit,
        flag="",
        range_text="",
        reason=why,
        measured_at=current.measured_at,
        entered_by=tx.actor.id,
        entered_at=tx.at,
        supersedes_id=current.id,
    )
    tx.session.add(amended)
    tx.session.flush()  # makes the id
    tx.audit("lab.result.amended", "lab_result", amended.id, order=order.id, loinc=analyte.loinc, supersedes=current.id)
    return Progress(order.id, order.status, analyte.loinc, amended.status)


def _locked(tx: Transaction, order_id: str) -> LabOrder:
    statement = select(LabOrder).where(LabOrder.id == order_id).with_for_update().execution_options(populate_existing=True)
    order = tx.session.scalars(statement).one_or_none()
    if order is None:
        raise UnknownOrder("There is no such laboratory order: see `billing lab worklist`.", order=order_id)
    return order


def _begun(tx: Transaction, order_id: str) -> LabOrder:
    order = _locked(tx, order_id)
    if order.status == OrderStatus.ORDERED:
        raise OrderState(
            "The specimen of this order is not taken yet: `billing lab collect` notes it.", order=order.id, status=order.status
        )
    _need_state(order, set(OrderStatus) - {OrderStatus.CANCELLED}, "it has no results")
    return order


def _need_state(order: LabOrder, allowed: Collection[str], else_say: str) -> None:
    if order.status not in allowed:
        raise OrderState(f"This order is {order.status.replace('_', ' ')}: {else_say}.", order=order.id, status=order.status)


def _of_analyte(tx: Transaction, order: LabOrder, code: str) -> tuple[Analyte, list[LabResult]]:
    statement = (
        select(LabResult, Analyte)
        .join(Analyte, (Analyte.clinic_id == LabResult.clinic_id) & (Analyte.id == LabResult.analyte_id))
        .where(LabResult.order_id == order.id)
        .order_by(LabResult.position, LabResult.id)
        .execution_options(populate_existing=True)
    )
    rows = tx.session.execute(statement).all()
    mine = [(analyte, result) for result, analyte in rows if analyte.loinc == code.strip()]
    if not mine:
        measured = ", ".join(dict.fromkeys(analyte.loinc for _, analyte in rows))
        raise NotInOrder(f"This order does not measure {code[:20]!r}; it measures {measured}.", order=order.id, loinc=code)
    return mine[0][0], [result for _, result in mine]


def _settle(tx: Transaction, order: LabOrder) -> None:
    rows = tx.session.execute(select(LabResult.analyte_id, LabResult.status).where(LabResult.order_id == order.id))
    order.status = str(order_status((analyte_id, status) for analyte_id, status in rows))
