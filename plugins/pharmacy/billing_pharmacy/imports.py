"""Records of other systems as items of the pharmacy, and the stock that they need first. It knows one visit at a time and no database."""

from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from typing import Any

from billing.plugin import (
    Change,
    Claim,
    ImportedItem,
    ImportFacts,
    Invalid,
    Known,
    QuotingClinic,
    Record,
    Records,
    adjust,
    hookimpl,
    insert,
    new_id,
    parse_quantity,
    parse_unit_price,
    put,
)
from billing_pharmacy.demonstration import RECORDS
from billing_pharmacy.model import RECEIPT, Batch, Move, Product
from billing_pharmacy.needs import IMPORTED_BATCHES, IMPORTED_PRODUCTS
from billing_pharmacy.rules import parse_day

IMPORT_LOT = "IMPORT"
"""The lot of what was given long ago: nobody knows from which batch."""

NEVER = date.max
"""Its expiry: such a batch is only filled with what a visit needs, so it expires on no day."""


class BadRecord(Invalid):
    """A record of an import can't be read. Facts: `column`."""

    code = "bad_record"


@hookimpl
def import_records(records: Records) -> Iterator[Claim]:
    """Bill medications by what was dispensed, immunizations one each. A medication of which nothing was dispensed is left out.

    A row may say in a column STOCK what lies on the shelf: `LOT EXPIRY QUANTITY`, several separated by semicolons.
    """
    for record in records.rows:
        if record.kind == "medication":
            quantity_milli = parse_quantity(_cell(record, "DISPENSES"))
            if quantity_milli:
                yield _claim(records, record, prefix="RX", quantity_milli=quantity_milli)
        elif record.kind == "immunization":
            yield _claim(records, record, prefix="CVX", quantity_milli=1000)


@hookimpl
def on_records_imported(imported: ImportFacts, items: tuple[ImportedItem, ...], known: Known) -> Iterator[Change]:
    """Make products of new services and receive exactly what the visit needs, or the batches that an item names where they are new."""
    products = {row.service_id for row in known[IMPORTED_PRODUCTS]}
    lots = {(row.service_id, row.lot): row.id for row in known[IMPORTED_BATCHES]}
    for item in {item.service_id: item for item in reversed(items)}.values():
        if item.service_id not in products:
            yield _product(item, imported)
    for (service_id, lot), (expires_on, quantity_milli) in _deliveries(items).items():
        batch_id = lots.get((service_id, lot))
        if batch_id is None:
            batch_id = new_id()
            yield insert(
                Batch,
                id=batch_id,
                service_id=service_id,
                lot=lot,
                expires_on=expires_on,
                on_hand_milli=quantity_milli,
                unit_cost_e4=0,  # records say what was asked for it, not what it cost
                blocked=False,
                blocked_reason=None,
                received_at=imported.at,
            )
        elif lot == IMPORT_LOT:
            yield adjust(Batch, batch_id, on_hand_milli=quantity_milli)
        else:
            continue  # the batch that the item names stands already
        yield _receipt(batch_id, quantity_milli, imported)


@hookimpl
def demo_records(clinic: QuotingClinic) -> Iterator[Record]:
    """Bring the medicines of the demonstration's visits, with batches that expire so many days from today."""
    for visit, kind, row, stock in RECORDS:
        said = "; ".join(f"{lot} {(clinic.business_date + timedelta(days)).isoformat()} {quantity}" for lot, days, quantity in stock)
        yield Record(kind, {"VISIT": visit, **row, "STOCK": said}, clinic.at)


def _claim(records: Records, record: Record, *, prefix: str, quantity_milli: int) -> Claim:
    stock = [_batch(each) for each in record.row.get("STOCK", "").split(";") if each.strip()]
    return Claim(
        record,
        "pharmacy",
        code=f"{prefix}-{_cell(record, 'CODE')}",
        description=_cell(record, "DESCRIPTION"),
        unit_price_e4=parse_unit_price(_cell(record, "BASE_COST"), records.currency),
        quantity_milli=quantity_milli,
        given={"stock": stock} if stock else {},
    )


def _cell(record: Record, column: str) -> str:
    text = record.row.get(column, "").strip()
    if not text:
        raise BadRecord(f"A {record.kind} has nothing in the column {column}: complete the file.", column=column)
    return text


def _batch(said: str) -> Mapping[str, Any]:
    parts = said.split()
    if len(parts) != 3:
        raise BadRecord(f"{said.strip()[:40]!r} is no batch: write LOT EXPIRY QUANTITY, such as A17 2027-06-30 20.", column="STOCK")
    lot, expires_on, quantity = parts
    return {"lot": lot, "expires_on": parse_day(expires_on).isoformat(), "quantity_milli": parse_quantity(quantity)}


def _product(item: ImportedItem, imported: ImportFacts) -> Change:
    return put(
        Product,
        {"service_id": item.service_id},
        code=item.code,
        name=item.description,
        controlled=False,
        reorder_level_milli=0,
        created_at=imported.at,
    )


def _deliveries(items: tuple[ImportedItem, ...]) -> dict[tuple[str, str], tuple[date, int]]:
    """Return what has to come in, (service, lot) -> (expiry, thousandths): the batches that items name, else what they want themselves."""
    found: dict[tuple[str, str], tuple[date, int]] = {}
    for item in items:
        if stock := item.given.get("stock"):
            for batch in stock:
                found[item.service_id, batch["lot"]] = (date.fromisoformat(batch["expires_on"]), batch["quantity_milli"])
        else:
            _, already = found.get((item.service_id, IMPORT_LOT), (NEVER, 0))
            found[item.service_id, IMPORT_LOT] = (NEVER, already + item.quantity_milli)
    return found


def _receipt(batch_id: str, quantity_milli: int, imported: ImportFacts) -> Change:
    return insert(
        Move,
        batch_id=batch_id,
        quantity_milli=quantity_milli,
        reason=RECEIPT,
        item_id=None,
        action_id=None,
        business_date=imported.business_date,
        at=imported.at,
        actor_id=imported.actor_id,
        note=f"import of visit {imported.visit_id}",
        source=None,
    )
