"""The laboratory's hooks: what is vetoed, and what paying or refunding a test changes. They hold no connection and know no clock.

One item is one order of one test: a lab labels, collects and reports each order by itself. So a quantity of three is refused: it is
three lines.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import click

from billing.plugin import (
    BilledItem,
    Change,
    Claim,
    Declaration,
    Department,
    ImportedItem,
    ImportFacts,
    InvoiceFacts,
    Known,
    PaidItem,
    PaymentFacts,
    QuotingClinic,
    Record,
    Records,
    RefundedItem,
    RefundFacts,
    Refused,
    change,
    effect,
    hookimpl,
    insert,
    new_id,
)
from billing_laboratory import demo, imports
from billing_laboratory.imports import Observation, observation_of
from billing_laboratory.invariants import INVARIANTS
from billing_laboratory.model import TABLES, LabOrder, LabResult
from billing_laboratory.needs import BILLED_PANELS, NEEDS, ORDERS, PANELS, RANGES, RESULTS
from billing_laboratory.permissions import GRANTS, PERMISSIONS
from billing_laboratory.rules import (
    DEPARTMENT,
    OrderStatus,
    Range,
    ResultStatus,
    as_range,
    choose_range,
    flag,
    order_status,
    range_text,
    read_value,
)

ONE_MILLI = 1000
ORDERED = "lab.ordered"
CANCELLED = "lab.cancelled"


class NoSuchTest(Refused):
    """An item of the laboratory names no test. Facts: `item`, `item_code`."""

    code = "no_such_lab_test"


class RetiredTest(Refused):
    """The laboratory does not do this test any more. Facts: `item`, `item_code`."""

    code = "lab_test_retired"


class OneTestPerLine(Refused):
    """A test was billed in another quantity than one, or a part of one is given back. Facts: `item`, `item_code`, `quantity_milli`."""

    code = "one_lab_test_per_line"


class NotMeasured(Refused):
    """An imported result is of an analyte that the test does not measure. Facts: `item`, `item_code`, `loinc`."""

    code = "lab_analyte_not_measured"


class OrderStarted(Refused):
    """The laboratory has begun with the order, so its item can't be given back. Facts: `item`, `item_code`, `order`, `status`."""

    code = "lab_order_started"


# --- declare ------------------------------------------------------------------------------------------------------------------------


@hookimpl
def declare() -> Declaration:
    """Say what the laboratory is."""
    return Declaration(
        departments=(Department(DEPARTMENT, "Laboratory"),),
        tables=TABLES,
        migrations="billing_laboratory.migrations",
        needs=NEEDS,
        permissions=PERMISSIONS,
        grants=GRANTS,
        record_kinds=("observation",),
        invariants=INVARIANTS,
    )


@hookimpl
def register_commands(cli: click.Group) -> None:
    """Add `billing lab`."""
    from billing_laboratory.commands import lab

    cli.add_command(lab)


# --- check --------------------------------------------------------------------------------------------------------------------------


@hookimpl
def before_invoice_issued(invoice: InvoiceFacts, items: tuple[BilledItem, ...], known: Known) -> None:
    """Refuse items that the laboratory could not carry out once they are paid."""
    del invoice
    _check_tests(items, known[BILLED_PANELS])


@hookimpl
def before_items_paid(payment: PaymentFacts, items: tuple[PaidItem, ...], known: Known) -> None:
    """Refuse the same once more: a test may have been retired since the invoice was issued."""
    del payment
    _check_tests(items, known[PANELS])


@hookimpl
def before_items_refunded(refund: RefundFacts, items: tuple[RefundedItem, ...], known: Known) -> None:
    """Refuse what the laboratory has begun with: from the collection of the specimen on, the work is done."""
    del refund
    orders = {row.id: row for row in known[ORDERS]}
    for item in items:
        if item.quantity_milli != ONE_MILLI:
            raise _one_per_line(item.item, "is given back whole or not at all", item.quantity_milli)
        for order_id in _live_orders(item):
            status = orders[order_id].status
            if status != OrderStatus.ORDERED:
                raise OrderStarted(
                    f"{item.item.description} can't be given back: its laboratory order {order_id} is {status.replace('_', ' ')} already.",
                    item=item.id,
                    item_code=item.item.code,
                    order=order_id,
                    status=status,
                )


def _check_tests(items: Iterable[BilledItem], panels: Iterable[Any]) -> None:
    by_service = _by_service(panels)
    for item in items:
        panel = by_service.get(item.service_id)
        if panel is None:
            raise NoSuchTest(
                f"{item.code} ({item.description}) names no test of the laboratory: configure it with billing lab test add.",
                item=item.id,
                item_code=item.code,
            )
        if not panel[0].active:
            raise RetiredTest(f"The laboratory does not do {item.code} any more.", item=item.id, item_code=item.code)
        if item.quantity_milli != ONE_MILLI:
            raise _one_per_line(item, "is ordered once per line: bill each one on a line of its own", item.quantity_milli)
        observation = observation_of(item)
        if observation is not None and observation.loinc not in {row.loinc for row in panel}:
            raise NotMeasured(
                f"{item.code} came with a result of {observation.loinc}, which this test does not measure.",
                item=item.id,
                item_code=item.code,
                loinc=observation.loinc,
            )


def _one_per_line(item: BilledItem, rule: str, quantity_milli: int) -> OneTestPerLine:
    return OneTestPerLine(f"{item.code}: a laboratory test {rule}.", item=item.id, item_code=item.code, quantity_milli=quantity_milli)


# --- act ----------------------------------------------------------------------------------------------------------------------------


@hookimpl
def on_items_paid(payment: PaymentFacts, items: tuple[PaidItem, ...], known: Known) -> Iterator[Change]:
    """Order each item's test, with a pending result per analyte; an imported result is written as verified."""
    panels = _by_service(known[PANELS])
    ranges: dict[str, list[Range]] = defaultdict(list)
    for row in known[RANGES]:
        ranges[row.analyte_id].append(as_range(row))
    for item in items:
        order_id, panel, observation = new_id(), panels[item.service_id], observation_of(item)
        results = [_result(payment, order_id, analyte, observation, ranges) for analyte in panel]
        measured = observation is not None and observation.value is not None
        yield insert(
            LabOrder,
            id=order_id,
            item_id=item.id,
            patient_id=payment.patient.id,
            test_id=panel[0].test_id,
            status=str(order_status((row["analyte_id"], row["status"]) for row in results) if measured else OrderStatus.ORDERED),
            priority="routine",
            ordered_at=payment.at,
        )
        for row in results:
            yield insert(LabResult, **row)
        yield effect(item, ORDERED, row=order_id, quantity_milli=item.quantity_milli)


@hookimpl
def on_items_refunded(refund: RefundFacts, items: tuple[RefundedItem, ...], known: Known) -> Iterator[Change]:
    """Cancel the orders that paying had made, and their pending results."""
    results = known[RESULTS]
    for item in items:
        for order_id in _live_orders(item):
            yield change(LabOrder, order_id, expect={"status": "ordered"}, status="cancelled", cancelled_at=refund.at)
            for row in results:
                if row.order_id == order_id:
                    yield change(LabResult, row.id, expect={"status": "pending"}, status="cancelled")
            yield effect(item, CANCELLED, row=order_id, quantity_milli=item.quantity_milli)


def _result(
    payment: PaymentFacts, order_id: str, analyte: Any, observation: Observation | None, ranges: Mapping[str, list[Range]]
) -> dict[str, Any]:
    row = {
        "order_id": order_id,
        "analyte_id": analyte.analyte_id,
        "position": analyte.position,
        "status": str(ResultStatus.PENDING),
        "unit": analyte.unit,
        "flag": "",
        "range_text": "",
        "reason": "",
    }
    if observation is None or observation.value is None or observation.loinc != analyte.loinc:
        return row
    patient = payment.patient
    on = observation.measured_at.date()
    limits = choose_range(ranges[analyte.analyte_id], sex=patient.sex, birth_date=patient.birth_date, on=on, species=patient.species)
    value = read_value(observation.value, kind=analyte.value_kind)
    # A value may have been measured after the visit, but it is never entered before it is measured.
    written_at = max(observation.measured_at, payment.at)
    return row | {
        "status": str(ResultStatus.FINAL),
        "value": value,
        "unit": observation.unit,
        "flag": str(flag(value, limits, kind=analyte.value_kind)),
        "range_text": range_text(limits),
        "measured_at": observation.measured_at,
        "entered_by": observation.entered_by,
        "entered_at": written_at,
        "verified_by": observation.verified_by,
        "verified_at": written_at,
    }


def _by_service(panels: Iterable[Any]) -> dict[str | None, list[Any]]:
    by_service: dict[str | None, list[Any]] = defaultdict(list)
    for row in panels:
        by_service[row.service_id].append(row)
    return dict(by_service)


def _live_orders(item: RefundedItem) -> list[str]:
    """Return the orders that were made for the item and not cancelled since."""
    cancelled = {done.row for done in item.effects if done.kind == CANCELLED}
    return [done.row for done in item.effects if done.kind == ORDERED and done.row not in cancelled]


# --- imports and demonstrations -----------------------------------------------------------------------------------------------------


@hookimpl
def import_records(records: Records) -> Iterator[Claim]:
    """Claim observations that are laboratory results."""
    return imports.claims(records)


@hookimpl
def on_records_imported(imported: ImportFacts, items: tuple[ImportedItem, ...], known: Known) -> Iterator[Change]:
    """Make the tests that new services need, before their items are billed."""
    return imports.new_tests(imported, items, known)


@hookimpl
def demo_records(clinic: QuotingClinic) -> Iterator[Record]:
    """Bring observations of people and animals."""
    return demo.records(clinic)
