"""What the laboratory shows: orders by name, the worklist, an order's report. Reads only."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Text, cast, func, literal, select

from billing.plugin import Base, Invalid, NotFound, Transaction
from billing_laboratory.model import Analyte, LabOrder, LabResult, LabTest
from billing_laboratory.permissions import READ
from billing_laboratory.report import Report, ReportedResult, compose
from billing_laboratory.rules import OPEN_RESULT, OrderStatus, ResultStatus

MOST_LISTED = 500

_PATIENT = Base.metadata.tables["patient"]
_ITEM = Base.metadata.tables["invoice_item"]
_WHOLE_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_NAMED = re.compile(r"[0-9a-f-]{8,36}")
_OPEN = [literal(str(each), literal_execute=True) for each in OPEN_RESULT]  # as text: there is an index of open ones only


class UnknownOrder(NotFound):
    """There is no such order. Facts: `order`."""

    code = "unknown_lab_order"


class AmbiguousOrder(Invalid):
    """Several orders end like this. Facts: `order`."""

    code = "ambiguous_lab_order"


class UnknownStatus(Invalid):
    """Orders have no such state. Facts: `status`."""

    code = "unknown_lab_status"


@dataclass(frozen=True, slots=True)
class Listed:
    """A row of the worklist. `to_enter` and `to_verify` count results."""

    id: str
    ordered_at: datetime
    status: str
    priority: str
    code: str
    test: str
    specimen: str
    patient: str
    species: str
    to_enter: int
    to_verify: int


def find_order(tx: Transaction, *, name: str) -> str:
    """Return the id of the order with this id, or one that ends so (at least 8 characters). Raises `UnknownOrder`, `AmbiguousOrder`."""
    tx.require(READ)
    end = name.strip().lower()
    if not _NAMED.fullmatch(end):
        raise UnknownOrder(f"{name[:40]!r} names no order: give its id, or at least the last 8 characters of it.", order=name)
    named = LabOrder.id == end if _WHOLE_ID.fullmatch(end) else cast(LabOrder.id, Text).like(f"%{end}")
    found = tx.session.scalars(select(LabOrder.id).where(named).limit(2)).all()
    if not found:
        raise UnknownOrder(f"There is no laboratory order {name!r}: see `billing lab worklist`.", order=name)
    if len(found) > 1:
        raise AmbiguousOrder(f"Several laboratory orders end in {name!r}: give more of the id.", order=name)
    return found[0]


def worklist(tx: Transaction, *, statuses: Collection[str] = (), limit: int = MOST_LISTED) -> list[Listed]:
    """List orders in these states, oldest first; without any, those in which a result or an amendment waits."""
    tx.require(READ)
    if unknown := [each for each in statuses if each not in set(OrderStatus)]:
        raise UnknownStatus(f"An order is never {unknown[0][:20]!r}: choose from {', '.join(OrderStatus)}.", status=unknown[0])
    waits = LabOrder.id.in_(select(LabResult.order_id).where(LabResult.status.in_(_OPEN)))
    orders = (
        select(LabOrder, LabTest.name, LabTest.specimen, _ITEM.c.code, _PATIENT.c.name, _PATIENT.c.species)
        .join(LabTest, (LabTest.clinic_id == LabOrder.clinic_id) & (LabTest.id == LabOrder.test_id))
        .join(_ITEM, (_ITEM.c.clinic_id == LabOrder.clinic_id) & (_ITEM.c.id == LabOrder.item_id))
        .join(_PATIENT, (_PATIENT.c.clinic_id == LabOrder.clinic_id) & (_PATIENT.c.id == LabOrder.patient_id))
        .where(LabOrder.status.in_(list(statuses)) if statuses else waits)
        .order_by(LabOrder.ordered_at, LabOrder.id)
        .limit(limit)
    )
    rows = tx.session.execute(orders).all()
    waiting = _waiting(tx, [order.id for order, *_ in rows])
    return [
        Listed(
            id=order.id,
            ordered_at=order.ordered_at,
            status=order.status,
            priority=order.priority,
            code=code,
            test=test,
            specimen=specimen,
            patient=patient,
            species=species or "person",
            to_enter=waiting.get((order.id, ResultStatus.PENDING), 0),
            to_verify=waiting.get((order.id, ResultStatus.PRELIMINARY), 0),
        )
        for order, test, specimen, code, patient, species in rows
    ]


def report(tx: Transaction, *, order_id: str) -> Report:
    """Return an order's report: what is verified, with flags and ranges, and what is still awaited. Raises `UnknownOrder`."""
    tx.require(READ)
    orders = (
        select(LabOrder, LabTest.name, LabTest.specimen, _PATIENT.c.name, _PATIENT.c.birth_date, _PATIENT.c.species, _PATIENT.c.sex)
        .join(LabTest, (LabTest.clinic_id == LabOrder.clinic_id) & (LabTest.id == LabOrder.test_id))
        .join(_PATIENT, (_PATIENT.c.clinic_id == LabOrder.clinic_id) & (_PATIENT.c.id == LabOrder.patient_id))
        .where(LabOrder.id == order_id)
    )
    found = tx.session.execute(orders).one_or_none()
    if found is None:
        raise UnknownOrder("There is no such laboratory order: see `billing lab worklist`.", order=order_id)
    order, test, specimen, patient, birth_date, species, sex = found
    results = (
        select(LabResult, Analyte)
        .join(Analyte, (Analyte.clinic_id == LabResult.clinic_id) & (Analyte.id == LabResult.analyte_id))
        .where(LabResult.order_id == order_id)
        .order_by(LabResult.position, LabResult.id)
    )
    return compose(
        clinic=tx.clinic.name,
        zone=tx.clinic.time_zone,
        order_id=order.id,
        status=order.status,
        test=test,
        specimen=specimen,
        ordered_at=order.ordered_at,
        collected_at=order.collected_at,
        patient=patient,
        birth_date=birth_date,
        species=species,
        sex=sex,
        results=[
            ReportedResult(
                loinc=analyte.loinc,
                name=analyte.name,
                id=row.id,
                status=row.status,
                value=row.value,
                unit=row.unit,
                flag=row.flag,
                range_text=row.range_text,
                reason=row.reason,
                measured_at=row.measured_at,
                verified_at=row.verified_at,
                supersedes_id=row.supersedes_id,
            )
            for row, analyte in tx.session.execute(results)
        ],
    )


def _waiting(tx: Transaction, order_ids: Sequence[str]) -> dict[tuple[str, str], int]:
    if not order_ids:  # an empty IN is planned as a scan of all results
        return {}
    counts = (
        select(LabResult.order_id, LabResult.status, func.count())
        .where(LabResult.order_id.in_(order_ids), LabResult.status.in_(_OPEN))
        .group_by(LabResult.order_id, LabResult.status)
    )
    return {(order_id, status): count for order_id, status, count in tx.session.execute(counts)}
