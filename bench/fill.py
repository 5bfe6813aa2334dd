"""Fills a database in big sets: copies of an invoice with everything that belongs to it, written by the same executors as a payment.

A copy has ids, numbers and links of the audit chain of its own, so the doctor finds nothing on a filled database.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from billing_pharmacy.model import Batch
from sqlalchemy import select, text

from billing.changes.entries import content_of
from billing.database import Database, over_all_clinics
from billing.engine import open_engine
from billing.model import CLINIC, AuditEntry, AuditHead, Base, NumberCounter, Takings, new_id
from billing.model.types import NIL_ID
from billing.model.writes import AddRows, AdjustedRow, AdjustRows, AuditRow, ChangedRow, ChangeRows, InsertRows, Number
from billing.rules import chain
from billing.rules.content import invoice_content_hash
from billing.services.numbering import next_number
from billing.services.setup import OPERATOR_LOGIN
from billing.settings import Settings
from billing.testing.postgres import OWNER, as_role
from billing.transaction import Transaction

AT_ONCE = 500
"""Invoices written by one unit: some thousands of rows."""

BELONGS = {
    "invoice": "id",
    "invoice_tax": "invoice_id",
    "payment": "invoice_id",
    "invoice_item": "invoice_id",
    "tender": "payment_id",
    "payment_item": "payment_id",
    "effect": "item_id",
    "pharmacy_move": "item_id",
    "pharmacy_reservation": "item_id",
    "laboratory_order": "item_id",
    "laboratory_result": "order_id",
    "consultation_share": "item_id",
    "journal_line": "invoice_id",
    "event": "subject_id",
    "audit_entry": "subject_id",
}
"""The tables in which an invoice has rows, and the column that names what each of them belongs to; parents first."""

ENTRY: Any = AuditEntry.__table__
HEAD: Any = AuditHead.__table__
COUNTER: Any = NumberCounter.__table__
BATCH: Any = Batch.__table__
TAKINGS: Any = Takings.__table__
ENTRY_CONTENT = ("at", "actor_id", "action", "subject", "subject_id", "data")

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Template:
    """An invoice and everything that belongs to it, by table."""

    rows: Mapping[str, Sequence[Row]]
    ids: tuple[str, ...]

    @property
    def invoice(self) -> Row:
        """The invoice's own row."""
        return self.rows["invoice"][0]


@dataclass(frozen=True, slots=True)
class Copy:
    """What is different in a copy: by how much its instants are later, its ids in place of the template's, its numbers by kind."""

    later: timedelta
    instead: Mapping[str, str]
    numbers: Mapping[str, Number]

    def value(self, value: Any) -> Any:
        """Return what stands in the copy where `value` stands in the template."""
        if type(value) is str:
            return self.instead.get(value, value)
        if isinstance(value, date):  # an instant is a date too
            return value + self.later
        if isinstance(value, dict):
            return {name: self.value(each) for name, each in value.items()}
        return value

    def row(self, row: Row) -> Row:
        """Return the copy of a row."""
        return {name: self.value(value) for name, value in row.items()}


def copy_invoice(
    database: Database, clinic: str, invoice_id: str, count: int, *, patients: Sequence[tuple[str, str]] = (), days: int = 0
) -> list[str]:
    """Return the ids of `count` copies of an invoice. They go round the `patients` (each with a client) and are spread over `days` before it."""
    template = database.read(lambda tx: read_template(tx, invoice_id), actor=OPERATOR_LOGIN, clinic=clinic)
    made: list[str] = []
    for start in range(0, count, AT_ONCE):
        places = range(start, min(start + AT_ONCE, count))
        later = [timedelta(days=days * place // count - days) for place in places]
        whose = [patients[place % len(patients)] if patients else () for place in places]
        made += database.run(
            lambda tx, later=later, whose=whose: _write_copies(tx, template, later, whose),  # type: ignore[misc]
            actor=OPERATOR_LOGIN,
            clinic=clinic,
        )
        if start in {0, 20 * AT_ONCE}:
            _analyze(database)
    return made


def _analyze(database: Database) -> None:
    """Tell the database how full it is: plans of foreign keys that were made for empty tables scan them for every row."""
    engine = open_engine(as_role(database.engine.url.render_as_string(hide_password=False), OWNER), Settings())
    with over_all_clinics(engine, writing=True) as connection:
        connection.execute(text("ANALYZE"))
    engine.dispose()


def read_template(tx: Transaction, invoice_id: str) -> Template:
    """Return an invoice with all of its rows."""
    ids = [invoice_id]
    found: dict[str, list[Row]] = {}
    for name, column in BELONGS.items():
        table = Base.metadata.tables[name]
        wanted = select(table).where(table.c.clinic_id == CLINIC, table.c[column].in_(ids)).order_by(*table.primary_key)
        rows = [
            {key: value for key, value in row.items() if key != "clinic_id"}
            for row in tx.session.execute(wanted, {"clinic_id": tx.clinic_id}).mappings()
        ]
        if rows:
            found[name] = rows
            ids += [row["id"] for row in rows if "id" in row and row["id"] not in ids]
    return Template(found, tuple(ids))


def _write_copies(tx: Transaction, template: Template, later: Sequence[timedelta], whose: Sequence[tuple[str, ...]]) -> list[str]:
    numbers = _Numbers(tx, template)
    copies = []
    for shift, patient in zip(later, whose, strict=True):
        instead = {old: new_id() for old in template.ids}
        instead |= dict(zip((template.invoice["patient_id"], template.invoice["client_id"]), patient, strict=False))
        copies.append(Copy(shift, instead, numbers.next()))
    for name in template.rows:
        if name != "audit_entry":
            tx.write(InsertRows(Base.metadata.tables[name], [row for copy in copies for row in _rows_of(template, name, copy)]))
    if "pharmacy_move" in template.rows:
        _write_stock(tx, template, len(copies))
    if "payment" in template.rows:
        _write_takings(tx, template, copies)
    numbers.write(tx)
    _write_entries(tx, template, copies)
    return [copy.instead[template.invoice["id"]] for copy in copies]


class _Numbers:
    """Gives out the numbers that follow the clinic's latest ones, and writes down in the end how far it came."""

    def __init__(self, tx: Transaction, template: Template) -> None:
        kinds = ["invoice", "receipt"] if "payment" in template.rows else ["invoice"]
        self._firsts = {kind: next_number(tx, kind=kind) for kind in kinds}
        wanted = select(COUNTER.c.series, COUNTER.c.period, COUNTER.c.latest_value).where(COUNTER.c.clinic_id == CLINIC)
        self._before = {
            (row.series, row.period): row.latest_value for row in tx.session.execute(wanted.with_for_update(), {"clinic_id": tx.clinic_id})
        }
        self._given = 0

    def next(self) -> dict[str, Number]:
        """Return the next number of each kind."""
        self._given += 1
        return {kind: self._after(number, self._given) for kind, number in self._firsts.items()}

    def write(self, tx: Transaction) -> None:
        """Move the counters on."""
        rows = [
            ChangedRow({"series": series, "period": period}, {"latest_value": latest}, {"latest_value": latest + self._given})
            for series, period, latest in ((each.series, each.period, self._latest(each)) for each in self._firsts.values())
        ]
        tx.write(ChangeRows(COUNTER, rows))

    def _latest(self, number: Number) -> int:
        latest: int = self._before[number.series, number.period]
        return latest

    def _after(self, first: Number, steps: int) -> Number:
        number = Number(
            series=first.series,
            period=first.period,
            prefix=first.prefix,
            digits=first.digits,
            suffix=first.suffix,
            start_value=first.start_value,
        )
        number.value = self._latest(first) + steps
        return number


def _write_stock(tx: Transaction, template: Template, copies: int) -> None:
    """Take off the shelf what the copied moves say."""
    taken = [
        AdjustedRow({"id": row["batch_id"]}, {"on_hand_milli": row["quantity_milli"] * copies}) for row in template.rows["pharmacy_move"]
    ]
    tx.write(AdjustRows(BATCH, taken))


def _write_takings(tx: Transaction, template: Template, copies: Sequence[Copy]) -> None:
    """Add to each day's takings what the copied payments took: by one method, exactly what was due."""
    (payment,), (tender,) = template.rows["payment"], template.rows["tender"]
    amounts = {row["item_id"]: row["amount_minor"] for row in template.rows["payment_item"]}
    cells: dict[tuple[str, str], int] = {}
    for item in template.rows["invoice_item"]:
        cell = item["department"], item["provider_id"] or NIL_ID
        cells[cell] = cells.get(cell, 0) + amounts[item["id"]]
    acts = Counter(copy.value(payment["business_date"]) for copy in copies)
    rows = [
        {
            "business_date": day,
            "cashier_id": payment["taken_by"],
            "kind": "payment",
            "department": department,
            "provider_id": provider,
            "method": tender["method"],
            "amount_minor": amount * count,
            "acts": count,
        }
        for day, count in sorted(acts.items())
        for (department, provider), amount in sorted(cells.items())
        if amount
    ]
    tx.write(AddRows(TAKINGS, rows))


def _write_entries(tx: Transaction, template: Template, copies: Sequence[Copy]) -> None:
    """Chain the copies' audit entries behind the clinic's latest one."""
    head = tx.session.execute(select(HEAD).where(HEAD.c.clinic_id == CLINIC).with_for_update(), {"clinic_id": tx.clinic_id}).one()
    position, before, latest = head.position, head.hash, head.hash
    rows = []
    for copy in copies:
        for entry in template.rows["audit_entry"]:
            own = {name: copy.value(entry[name]) for name in ENTRY_CONTENT}
            number = _number_of(copy, entry)
            before, latest = latest, chain.link(latest, content_of(tx.clinic_id, AuditRow(**own, business_date=own["at"].date())), number)
            position += 1
            rows.append(own | {"position": position, "number_value": number, "previous_hash": before, "hash": latest})
    tx.write(InsertRows(ENTRY, rows))
    moved = {"position": position, "hash": latest, "previous_hash": head.hash}
    tx.write(ChangeRows(HEAD, [ChangedRow({}, {"position": head.position}, moved)]))


def _number_of(copy: Copy, entry: Row) -> int | None:
    kind = {"invoice": "invoice", "payment": "receipt"}[entry["subject"]]
    return copy.numbers[kind].value if entry["number_value"] is not None else None


def _rows_of(template: Template, name: str, copy: Copy) -> list[Row]:
    rows = [copy.row(row) for row in template.rows[name]]
    if name == "payment":
        number = copy.numbers["receipt"]
        rows[0] |= {"receipt_value": number.value, "receipt_number": number.text}
    elif name == "invoice":
        number = copy.numbers["invoice"]
        rows[0] |= {"number_value": number.value, "number": number.text}
        if rows[0]["content_hash"] is not None:
            items = [copy.row(row) for row in template.rows["invoice_item"]]
            rows[0]["content_hash"] = invoice_content_hash(rows[0], items)
    return rows
