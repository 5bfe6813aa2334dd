"""A document as plain text of a fixed width, for terminals and receipt printers. It must not know where the words come from."""

import unicodedata
from collections.abc import Iterable, Iterator

from billing.services.documents.pages import DepartmentPart, Head, InvoicePage, ItemLine, ReceiptPage, Sum

NARROWEST_LEFT = 12
"""An amount that leaves less room than this to the words before it gets a line of its own."""

_SPACES = frozenset({"Cc", "Zs", "Zl", "Zp"})
# They would turn the rest of a line round, amounts included; plain text has no way to end them where the name ends.
_TURNING = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def render(page: InvoicePage | ReceiptPage, *, columns: int, mark: str | None) -> str:
    """Return the document as text of `columns` columns; `mark` is the line that makes it a copy."""
    body = _invoice(page, columns) if isinstance(page, InvoicePage) else _receipt(page, columns)
    lines = [*_head(page.head, columns, mark), *body, *(line for note in page.notes for line in wrap(note, columns))]
    return "".join(f"{line.rstrip()}\n" for line in lines)


def width(text: str) -> int:
    """Count the columns that a text takes: two for wide characters, none for those that join the one before."""
    return sum(_width(each) for each in text)


def plain(text: str) -> str:
    """Return a text as one line: without line breaks, control characters, and marks that turn the direction of what follows."""
    kept = (" " if unicodedata.category(each) in _SPACES else each for each in text if each not in _TURNING)
    return " ".join("".join(kept).split())


def wrap(text: str, columns: int, *, indent: str = "") -> list[str]:
    """Break a text into lines at its blanks, and words that are too long where the line ends. Lines after the first are indented."""
    lines, current = [], ""
    for word in plain(text).split(" "):
        rest = word
        joined = f"{current} {rest}" if current.strip() else current + rest
        if width(joined) <= columns:
            current = joined
            continue
        if current.strip():
            lines.append(current)
            current = indent
        while width(current + rest) > columns:
            head = _fitting(rest, columns - width(current))
            lines.append(current + head)
            current, rest = indent, rest[len(head) :]
        current += rest
    return [*lines, current]


def between(left: str, right: str, columns: int, *, indent: str = "") -> list[str]:
    """Put words on the left and an amount on the right end of their last line."""
    amount = plain(right)
    room = columns - width(amount) - 1
    if room < NARROWEST_LEFT:
        return [*_indented(left, columns, indent), " " * max(columns - width(amount), 0) + amount]
    lines = _indented(left, room, indent)
    filled = columns - width(lines[-1]) - width(amount)
    return [*lines[:-1], lines[-1] + " " * filled + amount]


def _width(character: str) -> int:
    if unicodedata.category(character) in {"Mn", "Me", "Cf"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1


def _fitting(word: str, columns: int) -> str:
    """Return the longest beginning of a word that fits, at least one character, with all that joins its last one."""
    used = 0
    for position, character in enumerate(word):
        used += _width(character)
        if used > columns and position > 0:
            return word[:position]
    return word


def _indented(text: str, columns: int, indent: str) -> list[str]:
    return [indent + line for line in wrap(text, columns - len(indent))]


def _head(head: Head, columns: int, mark: str | None) -> Iterator[str]:
    for line in (head.clinic.name, *head.clinic.detail.splitlines()):
        yield from wrap(line, columns)
    yield "=" * columns
    yield from wrap(f"{head.title.upper()} {head.number}", columns)
    if mark:
        yield f"*** {mark} ***"
    for each in head.marks:
        yield from wrap(f"*** {each} ***", columns)
    for label, value in head.facts:
        yield from wrap(f"{label}: {value}", columns, indent="  ")
    for party in head.parties:
        yield from wrap(f"{party.label}: {party.name}", columns, indent="  ")
        for line in party.detail.splitlines():
            yield from _indented(line, columns, "  ")
    yield "-" * columns


def _invoice(page: InvoicePage, columns: int) -> Iterator[str]:
    for item in page.items:
        yield from _item(item, page.labels.tax, columns)
    yield "-" * columns
    yield from _sums(page.sums, columns)
    yield "-" * columns
    for group, taxable, tax in page.taxes:
        yield from between(f"{page.labels.tax} {group}, {page.labels.taxable} {taxable}", tax, columns)
    yield "-" * columns


def _item(item: ItemLine, tax: str, columns: int) -> Iterator[str]:
    indent = " " * 5
    first, *more = _indented(item.description, columns, indent)
    yield f"{item.position:>3}  {first[len(indent) :]}"
    yield from more
    if item.note:
        yield from _indented(f"({item.note})", columns, indent)
    quantity = f"{item.quantity} {item.unit}".strip()
    yield from between(f"{quantity} × {item.unit_price}, {tax} {item.tax}", item.amount, columns, indent=indent)
    for each in item.reductions:
        yield from between(each.label, each.amount, columns, indent=indent)


def _receipt(page: ReceiptPage, columns: int) -> Iterator[str]:
    blocks = [_departments(page.departments, columns), *(_sums(block, columns) for block in page.sums)]
    for lines in filter(None, map(list, blocks)):
        yield from lines
        yield "-" * columns


def _departments(departments: Iterable[DepartmentPart], columns: int) -> Iterator[str]:
    for department in departments:
        yield from between(department.name, department.total, columns)
        for description, quantity, amount in department.items:
            yield from between(f"{description} {quantity}", amount, columns, indent="  ")


def _sums(sums: Iterable[Sum], columns: int) -> Iterator[str]:
    for each in sums:
        yield from between(each.label.upper() if each.strong else each.label, each.amount, columns)
