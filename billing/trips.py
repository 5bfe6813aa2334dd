"""The carrier: statements in, rows out, one round trip. Knows the two drivers and nothing of what it carries.

A `Query` is a SQLAlchemy statement compiled once per dialect and then sent to the driver as text: on the way of a payment nothing is built or compiled again.
"""

from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from sqlalchemy import BindParameter, Dialect, literal_column
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.sql import visitors

DIALECTS: Mapping[str, Dialect] = {
    "postgresql": PGDialect_psycopg(paramstyle="numeric_dollar"),  # type: ignore[no-untyped-call]
    "sqlite": SQLiteDialect_pysqlite(paramstyle="qmark"),
}
"""Dialects that compile for the bare driver: `$1` with casts for psycopg's raw cursor, `?` for sqlite3."""

Row = Any
"""A named tuple with the columns of its query."""

Convert = Callable[[Any], Any] | None


@dataclass(frozen=True, slots=True)
class Prepared:
    """A statement's text for one driver, how its values are sent, and how its rows come back."""

    text: str
    names: tuple[str, ...] = ()
    encoders: tuple[Convert, ...] = ()
    row: Callable[..., Row] | None = None
    decoders: tuple[Convert, ...] = ()
    constants: Mapping[str, Any] = field(default_factory=dict)
    """Values that the dialect itself has put into the text (SQLite's OFFSET of a LIMIT)."""

    def encode(self, values: Mapping[str, Any]) -> tuple[Any, ...]:
        """Return the values in the order of the text, as the driver wants them."""
        values = {**self.constants, **values} if self.constants else values
        return tuple(
            values[name] if encoder is None else encoder(values[name]) for name, encoder in zip(self.names, self.encoders, strict=True)
        )

    def decode(self, rows: Sequence[Sequence[Any]]) -> list[Row]:
        """Return the driver's rows as named tuples of Python values."""
        if self.row is None:
            return list(rows)
        if not any(self.decoders):
            return [self.row(*row) for row in rows]
        return [
            self.row(*(value if decoder is None else decoder(value) for value, decoder in zip(row, self.decoders, strict=True)))
            for row in rows
        ]


class Query:
    """A constant statement; `prepared(dialect)` compiles it on first use."""

    def __init__(self, statement: Any) -> None:
        self.statement = statement
        self._prepared: dict[str, Prepared] = {}

    def prepared(self, dialect: str) -> Prepared:
        """Return the statement for `dialect` (`sqlite` or `postgresql`)."""
        found = self._prepared.get(dialect)
        if found is None:
            found = self._prepared[dialect] = prepare(self.statement, DIALECTS[dialect])
        return found


class Preparable(Protocol):
    """What can be sent: a `Query`, or a need of a plugin."""

    def prepared(self, dialect: str) -> Prepared:
        """Return the statement for `dialect`."""


def prepare(statement: Any, dialect: Dialect) -> Prepared:
    """Compile a statement for the driver. Its constants become text (a partial index is of no use to a parameter), its named binds stay."""
    inlined = visitors.replacement_traverse(statement, {}, lambda element, **_: _constant_as_text(element, dialect))
    compiled = inlined.compile(dialect=dialect)
    names = tuple(compiled.positiontup or ())
    columns = list(getattr(statement, "exported_columns", ()))
    return Prepared(
        text=str(compiled),
        names=names,
        encoders=tuple(compiled.binds[name].type.dialect_impl(dialect).bind_processor(dialect) for name in names),
        row=namedtuple("Row", [column.key for column in columns], rename=True) if columns else None,  # noqa: PYI024 - the columns are known when it runs
        decoders=tuple(column.type.dialect_impl(dialect).result_processor(dialect, None) for column in columns),
        constants={name: bind.value for name, bind in compiled.binds.items() if bind.unique},
    )


def _constant_as_text(element: Any, dialect: Dialect) -> Any:
    if not (isinstance(element, BindParameter) and element.unique):
        return None
    values: Sequence[Any] = element.value if element.expanding else [element.value]  # type: ignore[assignment]
    render = element.type.dialect_impl(dialect).literal_processor(dialect)
    assert render is not None, f"a constant of type {element.type} has no text: give it as a named bind"
    texts = ", ".join("NULL" if value is None else render(value) for value in values)
    return literal_column(f"({texts})" if element.expanding else texts, element.type)


Call = tuple[Prepared, tuple[Any, ...]]
"""A prepared statement with its encoded values."""


class Trips(Protocol):
    """What carries calls to a database over the connection of one open transaction."""

    dialect: str

    def trip(self, calls: Sequence[Call]) -> list[list[Row]]:
        """Send all calls, in order, and return their rows: one round trip where the driver can."""


class SQLiteTrips:
    """Calls on sqlite3: in the same process, so there is no trip to save."""

    dialect = "sqlite"

    def __init__(self, driver: Any) -> None:
        self._driver = driver

    def trip(self, calls: Sequence[Call]) -> list[list[Row]]:
        """Run the calls one after another."""
        return [prepared.decode(self._driver.execute(prepared.text, values).fetchall()) for prepared, values in calls]


class PostgresTrips:
    """Calls on psycopg: one pipeline, one round trip. A failed pipeline is left first; the boundary rolls back after that."""

    dialect = "postgresql"

    def __init__(self, driver: Any) -> None:
        from psycopg import RawCursor

        self._driver = driver
        self._cursor = RawCursor

    def trip(self, calls: Sequence[Call]) -> list[list[Row]]:
        """Send the calls through one pipeline, the last one behind it.

        psycopg ends a pipeline with a Flush behind the Sync, and that message stops the server's idle_in_transaction_session_timeout:
        a hook that never returns would hold its locks for ever. A statement outside of the pipeline starts the timer again.
        """
        *first, last = calls
        sent = []
        if first:
            with self._driver.pipeline():
                sent = [(prepared, self._cursor(self._driver).execute(prepared.text, values)) for prepared, values in first]
        sent.append((last[0], self._cursor(self._driver).execute(last[0].text, last[1])))
        return [self._fetch(prepared, cursor) for prepared, cursor in sent]

    @staticmethod
    def _fetch(prepared: Prepared, cursor: Any) -> list[Row]:
        return prepared.decode(cursor.fetchall()) if cursor.description is not None else []
