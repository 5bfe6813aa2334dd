"""What callers hand in, read alike on both databases: ids, texts of one line, pages of lists, words to search by. Knows no noun."""

import re
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, and_, or_, select
from sqlalchemy.orm import InstrumentedAttribute

from billing.errors import Invalid
from billing.model import ClinicRowWithId
from billing.model.types import is_id
from billing.rules.texts import BadText, check_text
from billing.transaction import Transaction

R = TypeVar("R", bound=ClinicRowWithId)

MOST_ROWS = 1000
"""The longest page of a list."""

_LINE_ENDS = re.compile("[\n\N{LINE SEPARATOR}\N{PARAGRAPH SEPARATOR}]")


class BadLimit(Invalid):
    """A page of a list has no row, or too many. Facts: `limit`."""

    code = "bad_limit"


def canonical_id(text: str) -> str | None:
    """Return an id as it is stored, or None for a text that is none: so each noun answers both in its own words."""
    lowered = text.lower()
    return lowered if is_id(lowered) else None


def find_row(tx: Transaction, table: type[R], row_id: str, *, lock: bool = False) -> R | None:
    """Return the clinic's row with this id, locked if asked for; None for another clinic's and for what is no id."""
    known = canonical_id(row_id)
    if known is None:
        return None
    statement = select(table).where(table.id == known)
    if lock:
        # What the session knew of the row before it waited for the lock is old.
        statement = statement.with_for_update().execution_options(populate_existing=True)
    return tx.session.scalars(statement).one_or_none()


def check_line(text: str, what: str, *, longest: int = 200, empty: bool = False) -> str:
    """Return a text of one line without surrounding blanks. Raises `BadText` naming `what`."""
    line = check_text(text, what, longest=longest, empty=empty)
    if _LINE_ENDS.search(line):
        raise BadText(f"{what} has more than one line: write it on one.", what=what)
    return line


def check_source(source: str | None) -> str | None:
    """Return what a row came from (another system's id), or None. Raises `BadText`."""
    return None if source is None else check_line(source, "The source")


def check_limit(limit: int) -> int:
    """Return how many rows a page may have. Raises `BadLimit`."""
    if not 1 <= limit <= MOST_ROWS:
        raise BadLimit(f"A page of a list has 1 to {MOST_ROWS} rows, not {limit}.", limit=limit)
    return limit


def behind(column: Any, value: Any, key: InstrumentedAttribute[str], row_id: str) -> ColumnElement[bool]:
    """Return the condition for rows that come behind a row in the order of `column`, then `key`."""
    return and_(column >= value, or_(column > value, key > row_id))


def has_word(column: InstrumentedAttribute[str], text: str) -> ColumnElement[bool]:
    """Return the condition for texts in which a word begins with `text`, capitals or not.

    The databases fold only ASCII for sure, so a text beyond it is looked for as written small, with capitals first, and in capitals.
    """
    written = {text} if text.isascii() else {text, text.lower(), text.title(), text.upper()}
    starts = [column.istartswith(each, autoescape=True) for each in sorted(written)]
    return or_(*starts, *(column.icontains(f" {each}", autoescape=True) for each in sorted(written)))
