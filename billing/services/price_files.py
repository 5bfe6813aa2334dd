"""The price list as a CSV file, out and in. Knows nothing of where the file lies; a file counts whole or not at all.

Columns as `COLUMNS` says, in any order; a price in plain digits with a point, a tax rate in percent, active yes or no; UTF-8. Texts that a
spreadsheet would take for a formula are guarded by an apostrophe, which is taken away again when the file comes back.
"""

import csv
import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from io import StringIO
from typing import Any, BinaryIO, TextIO

from sqlalchemy import func, select

from billing.errors import Invalid, NotFound
from billing.model import Service, ServicePrice, new_id
from billing.model.writes import ChangedRow, ChangeRows, InsertRows
from billing.money import format_rate, format_unit_price, parse_rate, parse_unit_price
from billing.rules.spreadsheet import plain_cell, safe_cell
from billing.rules.texts import check_service_code
from billing.rules.totals import TaxGroup
from billing.services.price_checks import check_department, check_description, check_price, check_unit
from billing.services.prices import COLUMNS as SERVICE_COLUMNS
from billing.services.prices import PriceInThePast, ServiceFacts
from billing.transaction import Transaction

COLUMNS = ("code", "department", "description", "unit", "unit_price", "currency", "tax_category", "tax_rate", "active")
MOST_BYTES = 10_000_000
_PRICE = ("unit_price_e4", "tax_category", "tax_rate_bp")


class BadPriceFile(Invalid):
    """A file of prices can't be read, or a cell of it does not fit. Facts: `line` (from 1) and `column`, where there is one."""

    code = "bad_price_file"


@dataclass(frozen=True, slots=True)
class PricesImported:
    """How many services of a file were new, changed, or the same as before."""

    new: int
    changed: int
    same: int


@dataclass(frozen=True, slots=True)
class _Entry:
    """A line of the file, checked."""

    code: str
    department: str
    description: str
    unit: str
    unit_price_e4: int
    tax_category: str
    tax_rate_bp: int
    active: bool


def export_prices(tx: Transaction, *, stream: TextIO) -> int:
    """Write the whole price list, retired services too, to a text stream opened with `newline=""`; return the number of services."""
    tx.require("exports.read")
    tx.require("prices.read")
    writer = csv.writer(stream)
    writer.writerow(COLUMNS)
    rows = [ServiceFacts(*row) for row in tx.session.execute(select(*SERVICE_COLUMNS).order_by(Service.code))]
    money = tx.clinic.currency
    for row in rows:
        texts = [safe_cell(text) for text in (row.code, row.department, row.description, row.unit)]
        price = [format_unit_price(row.unit_price_e4, money), money.code, row.tax_category, format_rate(row.tax_rate_bp)]
        writer.writerow([*texts, *price, "yes" if row.active else "no"])
    return len(rows)


def import_prices(tx: Transaction, *, stream: BinaryIO) -> PricesImported:
    """Take over a file of prices: new services are added, others become as the file says; those that it leaves out stay as they are.

    All of it or nothing: raises `BadPriceFile` naming line and column, `PriceInThePast`, `ServiceCodeTaken`.
    """
    tx.require("prices.manage")
    content = stream.read(MOST_BYTES + 1)
    entries = _read(tx, content)
    rows = tx.session.execute(select(*SERVICE_COLUMNS).order_by(Service.code).with_for_update())
    here = {row.code: ServiceFacts(*row) for row in rows}
    new = {new_id(): entry for entry in entries if entry.code not in here}
    changed = {here[entry.code].id: entry for entry in entries if entry.code in here and _differs(here[entry.code], entry)}
    repriced = {row_id: entry for row_id, entry in changed.items() if _price(here[entry.code]) != _price(entry)}
    if repriced:
        _refuse_past(tx)
    if new:
        added = [{"id": row_id, **asdict(entry), "created_at": tx.at} for row_id, entry in new.items()]
        tx.write(InsertRows(Service.__table__, added))  # type: ignore[arg-type]
    if changed:
        edited = [
            ChangedRow({"id": row_id}, {}, {k: v for k, v in asdict(entry).items() if k != "code"}) for row_id, entry in changed.items()
        ]
        tx.write(ChangeRows(Service.__table__, edited))  # type: ignore[arg-type]
    if history := [_price_row(tx, row_id, entry) for row_id, entry in (new | repriced).items()]:
        tx.write(InsertRows(ServicePrice.__table__, history))  # type: ignore[arg-type]
    result = PricesImported(new=len(new), changed=len(changed), same=len(entries) - len(new) - len(changed))
    codes = sorted(entry.code for entry in changed.values())
    tx.audit("prices.imported", "clinic", tx.clinic_id, **asdict(result), codes=codes, file_sha256=hashlib.sha256(content).hexdigest())
    return result


def _read(tx: Transaction, content: bytes) -> list[_Entry]:
    lines = _lines(_decode(content))
    _, header = next(lines, (1, []))
    names = [name.strip() for name in header]
    if sorted(names) != sorted(COLUMNS):
        hint = ", separated by commas" if len(names) == 1 else ""
        raise BadPriceFile(f"Line 1: the first line must name the columns {','.join(COLUMNS)}{hint}.", line=1)
    entries: dict[str, tuple[int, _Entry]] = {}
    for line, cells in lines:
        if not any(cell.strip() for cell in cells):
            continue  # spreadsheets leave empty lines behind
        if len(cells) != len(names):
            raise BadPriceFile(f"Line {line}: it has {len(cells)} cells, not {len(names)}.", line=line)
        entry = _entry(tx, line, dict(zip(names, cells, strict=True)))
        if entry.code in entries:
            first = entries[entry.code][0]
            raise BadPriceFile(f"Line {line}, column code: {entry.code} stands in line {first} already.", line=line, column="code")
        entries[entry.code] = (line, entry)
    return [entry for _, entry in entries.values()]


def _decode(content: bytes) -> str:
    if len(content) > MOST_BYTES:
        raise BadPriceFile(f"The file is larger than {MOST_BYTES // 1_000_000} MB: split it.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise BadPriceFile(f"Line {line}: this is not UTF-8; save the file as CSV in UTF-8 and try again.", line=line) from None


def _lines(text: str) -> Iterator[tuple[int, list[str]]]:
    """Give each record with the number of the line on which it begins."""
    reader = csv.reader(StringIO(text, newline=""), strict=True)
    begins = 1
    try:
        for cells in reader:
            yield begins, cells
            begins = reader.line_num + 1
    except csv.Error as error:
        raise BadPriceFile(f"Line {begins}: this can't be read as CSV ({error}).", line=begins) from None


def _entry(tx: Transaction, line: int, cells: Mapping[str, str]) -> _Entry:
    def read(column: str, check: Callable[[str], Any]) -> Any:
        try:
            return check(cells[column])
        except (Invalid, NotFound) as error:
            raise BadPriceFile(f"Line {line}, column {column}: {error}", line=line, column=column, reason=error.code) from error

    money = tx.clinic.currency
    read("currency", lambda cell: _same_currency(cell, money.code))
    rate = read("tax_rate", lambda cell: parse_rate(cell.strip()))
    return _Entry(
        code=read("code", lambda cell: check_service_code(plain_cell(cell).strip())),
        department=read("department", lambda cell: check_department(tx, plain_cell(cell).strip())),
        description=read("description", lambda cell: check_description(plain_cell(cell))),
        unit=read("unit", lambda cell: check_unit(plain_cell(cell))),
        unit_price_e4=read("unit_price", lambda cell: check_price(parse_unit_price(cell.strip(), money))),
        tax_category=read("tax_category", lambda cell: TaxGroup(cell.strip(), rate).category),
        tax_rate_bp=rate,
        active=read("active", _flag),
    )


def _same_currency(cell: str, code: str) -> None:
    if cell.strip() != code:
        raise BadPriceFile(f"the clinic's prices are in {code}, not in {cell.strip()[:40]!r}.")


def _flag(cell: str) -> bool:
    # Not true and false: spreadsheets translate those.
    said = cell.strip().lower()
    if said not in {"yes", "no"}:
        raise BadPriceFile(f"{cell[:40]!r} is neither yes nor no.")
    return said == "yes"


def _differs(here: ServiceFacts, entry: _Entry) -> bool:
    return any(getattr(here, name) != value for name, value in asdict(entry).items())


def _price(of: ServiceFacts | _Entry) -> tuple[Any, ...]:
    return tuple(getattr(of, name) for name in _PRICE)


def _price_row(tx: Transaction, service_id: str, entry: _Entry) -> dict[str, Any]:
    prices = dict(zip(_PRICE, _price(entry), strict=True))
    return {"id": new_id(), "service_id": service_id, "valid_from_at": tx.at, **prices, "actor_id": tx.actor.id}


def _refuse_past(tx: Transaction) -> None:
    latest = tx.session.scalar(select(func.max(ServicePrice.valid_from_at)))
    if latest is not None and tx.at < latest:
        raise PriceInThePast(f"The price list has newer prices, of {latest:%Y-%m-%d %H:%M} UTC: prices are changed forward in time only.")
