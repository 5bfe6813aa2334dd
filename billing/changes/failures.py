"""What databases say when they refuse, in words for people: by SQLSTATE and constraint name, never by a driver's table fields."""

import re
import sqlite3
from collections.abc import Callable
from datetime import date
from typing import TypeVar

from sqlalchemy import PrimaryKeyConstraint, UniqueConstraint
from sqlalchemy.exc import DBAPIError

from billing.errors import BillingError, Conflict, Invalid, Misconfigured, PluginViolation
from billing.model import Base

E = TypeVar("E", bound=type[BillingError])

_EXPLAINED: dict[str, tuple[type[BillingError], str]] = {}

_AGAIN = frozenset({"40001", "40P01"})
_BUSY = frozenset({"55P03", "57014"})
_GONE = ("08", "57P01", "57P02", "57P03")


class Busy(Conflict):
    """Somebody else holds what this needs, for longer than the limit."""

    code = "busy"


class DatabaseUnavailable(Misconfigured):
    """The database can't be reached or can't write (full disk, wrong address, being restarted)."""

    code = "database_unavailable"


class NotAllowedHere(Misconfigured):
    """The role that we connect as may not do this: it lacks a privilege, or the act is the tables' owner's. Facts: `reason`."""

    code = "database_privilege_missing"


class AlreadyThere(Conflict):
    """A row with this key stands already. Facts: `constraint`."""

    code = "already_exists"


class RowChanged(Conflict):
    """A row is not as it was expected, is not there, or would fall below its floor. Facts: `table`."""

    code = "row_changed"


class NotStorable(Invalid):
    """A value that the database can't hold, or that refers to nothing in this clinic. Facts: `constraint`."""

    code = "not_storable"


def explains(constraint: str, sentence: str) -> Callable[[E], E]:
    """Say which error a broken constraint means: `@explains("uq_service_code", "This code is taken.")` above the error's class.

    `short:TABLE` stands for a row of the table that is not as it was expected.
    """

    def keep(error: E) -> E:
        _EXPLAINED[constraint] = (error, sentence)
        return error

    return keep


@explains("short:audit_entry", "This day is in a month that is closed: nothing is booked there any more. Book it today.")
class PeriodClosed(Conflict):
    """The business date is in a closed month, which nothing enters any more."""

    code = "period_closed"

    @classmethod
    def on(cls, day: date) -> "PeriodClosed":
        """Return the error for a day."""
        return cls(f"{day.isoformat()} is in a month that is closed: nothing is booked there any more. Book it today.")


def sqlstate(error: BaseException) -> str | None:
    """Return the SQLSTATE of a PostgreSQL error, through SQLAlchemy's wrapping."""
    return getattr(_driver_error(error), "sqlstate", None)


def is_database_error(error: BaseException) -> bool:
    """Say whether the error comes from a database driver."""
    original = _driver_error(error)
    return isinstance(original, sqlite3.Error) or any(kind.__module__.startswith("psycopg") for kind in type(original).__mro__)


def retryable(error: BaseException) -> bool:
    """Say whether an error raised before COMMIT lets the unit run again: a serialization failure, a deadlock, a lost connection."""
    state = sqlstate(error)
    lost = state is None and any(each.__name__ == "OperationalError" for each in type(_driver_error(error)).__mro__)
    on_sqlite = isinstance(_driver_error(error), sqlite3.Error)
    return not on_sqlite and (lost or state in _AGAIN or (state is not None and state.startswith(_GONE)))


def outcome_unknown(error: BaseException) -> bool:
    """Say whether an error raised by COMMIT leaves open if the unit was committed: a lost connection, or a cluster's node that went away."""
    original = _driver_error(error)
    if isinstance(original, sqlite3.Error):
        return False
    state = sqlstate(error)
    return state is None or state.startswith(_GONE) or state == "XX000"


def explain(error: BaseException, *, table: str | None = None, plugins: frozenset[str] = frozenset()) -> BillingError:
    """Return the error for people. `table` is the one that was written, where the executor knows it; `plugins` are the known plugin names."""
    original = _driver_error(error)
    message = str(original)
    if isinstance(original, sqlite3.Error):
        kind, name = _read_sqlite(message)
    else:
        kind, name = _read_postgresql(sqlstate(error), message)
    if kind == "short":
        return row_changed(name or table or "a table", plugins)
    if name in _EXPLAINED:
        made, sentence = _EXPLAINED[name]
        return made(sentence, constraint=name)
    owner = _owner(table or _table_of(name), plugins)
    if owner and kind in {"unique", "foreign", "check", "null", "value"}:
        reason = f"the database refused its row: {name or message}"
        return PluginViolation(
            f"The plugin {owner} broke its contract: {reason}. Nothing was booked.", plugin=owner, reason=reason, constraint=name
        )
    return _in_words(kind, name, table, message.splitlines()[0] if message else type(original).__name__)


def _in_words(kind: str, name: str | None, table: str | None, message: str) -> BillingError:
    match kind:
        case "unique":
            return AlreadyThere(f"This stands already ({name}): use another code, or change the one that is there.", constraint=name)
        case "foreign":
            return NotStorable(f"This refers to something that the clinic does not have ({name or table}).", constraint=name)
        case "check" | "null" | "value":
            return NotStorable(f"The database can't hold this value ({name or message}).", constraint=name)
        case "busy":
            return Busy("Somebody else is writing this right now: try again in a moment.")
        case "clinic":
            return PluginViolation(f"A row names another clinic than the unit's ({message}): nothing was booked.", reason="clinic")
        case "privilege":
            cure = "migrate and restore as the tables' owner (BILLING_OWNER_DATABASE_URL), who gives the application's role what it lacks"
            return NotAllowedHere(f"The database does not let us do this ({message}): {cure} (`billing db grant`).", reason=message)
        case "schema":
            return Misconfigured(f"The database does not have what this needs ({message}): run `billing db upgrade`.")
    return DatabaseUnavailable(f"The database can't do this now: {message}.")


def _driver_error(error: BaseException) -> BaseException:
    return error.orig if isinstance(error, DBAPIError) and error.orig is not None else error


def _read_sqlite(message: str) -> tuple[str, str | None]:
    if found := re.search(r"UNIQUE constraint failed: (.+)", message):
        return "unique", _unique_by_columns(found.group(1))
    if found := re.search(r"CHECK constraint failed: (\w+)", message):
        return "check", found.group(1)
    if "FOREIGN KEY constraint failed" in message:
        return "foreign", None
    if found := re.search(r"NOT NULL constraint failed: (\S+)", message):
        return "null", found.group(1)
    if "cannot store" in message or "too large" in message or "too big" in message:
        return "value", None
    if "locked" in message or "busy" in message:
        return "busy", None
    return ("schema", None) if "no such table" in message or "no such column" in message else ("other", None)


_STATES = {
    "23505": "unique",
    "23503": "foreign",
    "23514": "check",
    "23502": "null",
    "42P01": "schema",
    "42703": "schema",
    "42501": "privilege",
}


def _read_postgresql(state: str | None, message: str) -> tuple[str, str | None]:
    if state == "22P02" and (found := re.search(r'"short:(\w+):', message)):
        return "short", found.group(1)
    named = re.search(r'constraint "(\w+?)(?:_\d+)?"', message) or re.search(r'column "(\w+)"', message)
    if state == "42501" and "row-level security" in message:
        return "clinic", None
    if state in _STATES:
        return _STATES[state], named.group(1) if named else None
    if state == "XX000" and named:
        # A cluster reports violations inside INSERT ... SELECT so; the name says what it was.
        return {"pk": "unique", "uq": "unique", "fk": "foreign", "ck": "check"}.get(named.group(1)[:2], "other"), named.group(1)
    if state in _BUSY:
        return "busy", None
    return ("value", None) if (state is not None and state.startswith("22")) or "NUL" in message else ("other", None)


def row_changed(table: str, plugins: frozenset[str]) -> BillingError:
    """Return the error for a row that was not as expected: the plugin's fault on its own tables, else somebody was first."""
    if explained := _EXPLAINED.get(f"short:{table}"):
        made, sentence = explained
        return made(sentence)
    if owner := _owner(table, plugins):
        reason = f"it changed rows of {table} that are not there, not this clinic's, or not as it expected"
        return PluginViolation(f"The plugin {owner} broke its contract: {reason}. Nothing was booked.", plugin=owner, reason=reason)
    return RowChanged(f"Somebody else has changed this ({table}) in the meantime: look again and repeat.", table=table)


def _owner(table: str | None, plugins: frozenset[str]) -> str | None:
    # A plugin's tables carry its name in front; the core's own table of that name (a visit) has none behind it.
    return next((plugin for plugin in plugins if table and table.startswith(f"{plugin}_")), None)


def _table_of(constraint: str | None) -> str | None:
    for table in Base.metadata.tables.values():
        if any(each.name == constraint for each in table.constraints | table.indexes):
            return table.name
    return None


def _unique_by_columns(columns: str) -> str | None:
    parts = [part.strip().split(".") for part in columns.split(",")]
    table = Base.metadata.tables.get(parts[0][0])
    if table is None:
        return None
    wanted = {part[-1] for part in parts}
    for constraint in table.constraints:
        if isinstance(constraint, (PrimaryKeyConstraint, UniqueConstraint)) and {column.name for column in constraint.columns} == wanted:
            return str(constraint.name)
    return next((str(index.name) for index in table.indexes if index.unique and {column.name for column in index.columns} == wanted), None)
