"""Column types that hold exactly on SQLite (STRICT tables) and PostgreSQL what the house counts in. Know nothing of tables."""

import json
import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Annotated, Any, TypeVar

from sqlalchemy import BigInteger, Boolean, Date, DateTime, Dialect, Integer, Text, cast
from sqlalchemy.dialects.postgresql import UUID
from sqlalchemy.orm import mapped_column
from sqlalchemy.types import TypeDecorator, TypeEngine
from uuid_utils import uuid7

from billing.errors import NotFound

T = TypeVar("T")


def new_id() -> str:
    """Return a new id: a UUIDv7, time-ordered, as canonical text."""
    return str(uuid7())


NIL_ID = "00000000-0000-0000-0000-000000000000"
"""The id that no row has."""

_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class MalformedId(NotFound):
    """What was given as an id is none, so nothing has it. Facts: `id`."""

    code = "not_found"


def is_id(text: str) -> bool:
    """Say whether the text has the form of an id."""
    return _ID.fullmatch(text) is not None


def _checked_id(value: str | None) -> str | None:
    if value is not None and _ID.fullmatch(value) is None:
        raise MalformedId(f"There is nothing with the id {value[:60]!r} in this clinic.", id=value)
    return value


class _TextUuid(UUID[str]):
    """A `uuid` of PostgreSQL that travels as text both ways: the drivers' connections hand it out so, and no object is made of it."""

    cache_ok = True

    def __init__(self) -> None:
        super().__init__(as_uuid=False)

    def bind_processor(self, dialect: Dialect) -> None:
        """Send the text as it is."""

    def result_processor(self, dialect: Dialect, coltype: object) -> None:
        """Take the text as it comes."""


class _PlainType(TypeDecorator[T]):
    """A type of which one function makes what the driver gets, and one our value of its. The inner type adds nothing, so nothing stands around them."""

    def encoder(self, dialect: Dialect) -> Callable[[Any], Any] | None:
        """Return what makes the driver's value of ours (null stays null); none where they are the same."""
        raise NotImplementedError

    def decoder(self, dialect: Dialect) -> Callable[[Any], Any] | None:
        """Return what makes our value of the driver's (null stays null); none where they are the same."""
        raise NotImplementedError

    def bind_processor(self, dialect: Dialect) -> Callable[[Any], Any] | None:
        """Return the encoder."""
        return self.encoder(dialect)

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], Any] | None:
        """Return the decoder."""
        del coltype
        return self.decoder(dialect)

    def process_bind_param(self, value: T | None, dialect: Dialect) -> Any:
        """Encode a value that becomes part of a statement's text."""
        encoder = self.encoder(dialect)
        return value if encoder is None else encoder(value)


class IdType(_PlainType[str]):
    """An id as canonical lower-case text in Python: `uuid` on PostgreSQL, TEXT on SQLite."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Choose the column type of the dialect."""
        return _TextUuid() if dialect.name == "postgresql" else dialect.type_descriptor(Text())

    def encoder(self, dialect: Dialect) -> Callable[[str | None], str | None]:
        """Refuse what can't be an id in the words for one that does not exist: PostgreSQL would call it a syntax error."""
        del dialect
        return _checked_id

    def decoder(self, dialect: Dialect) -> None:
        """Take the text as it comes."""


class WholeType(TypeDecorator[int]):
    """A 64-bit whole number: minor units, thousandths, ten-thousandths, basis points, positions."""

    impl = BigInteger
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Choose the column type of the dialect."""
        return dialect.type_descriptor(Integer() if dialect.name == "sqlite" else BigInteger())


def _flag_number(value: bool | None) -> int | None:  # noqa: FBT001 - a flag's value
    return None if value is None else int(value)


def _number_flag(value: int | None) -> bool | None:
    return None if value is None else bool(value)


class FlagType(_PlainType[bool]):
    """True or false; 0 or 1 in SQLite."""

    impl = Boolean
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Choose the column type of the dialect."""
        return dialect.type_descriptor(Integer() if dialect.name == "sqlite" else Boolean())

    def encoder(self, dialect: Dialect) -> Callable[[bool | None], int | None] | None:
        """Send 0 or 1 to SQLite."""
        return _flag_number if dialect.name == "sqlite" else None

    def decoder(self, dialect: Dialect) -> Callable[[int | None], bool | None] | None:
        """Make a bool of SQLite's number."""
        return _number_flag if dialect.name == "sqlite" else None


def _instant(value: datetime | None) -> datetime | None:
    if value is None or value.tzinfo is UTC:
        return value
    if value.tzinfo is None:
        raise ValueError("an instant must be aware: give it a time zone")
    return value.astimezone(UTC)


def _instant_text(value: datetime | None) -> str | None:
    at = _instant(value)
    return None if at is None else at.isoformat(timespec="microseconds")


def _text_instant(value: str | None) -> datetime | None:
    return None if value is None else _instant(datetime.fromisoformat(value))


class InstantType(_PlainType[datetime]):
    """An aware instant in UTC with microseconds; fixed-width text in SQLite, so that it sorts."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Choose the column type of the dialect."""
        return dialect.type_descriptor(Text() if dialect.name == "sqlite" else DateTime(timezone=True))

    def encoder(self, dialect: Dialect) -> Callable[[datetime | None], Any]:
        """Refuse naive instants; send text to SQLite."""
        return _instant_text if dialect.name == "sqlite" else _instant

    def decoder(self, dialect: Dialect) -> Callable[[Any], datetime | None]:
        """Return an aware datetime in UTC."""
        return _text_instant if dialect.name == "sqlite" else _instant


def _day_text(value: date | None) -> str | None:
    return None if value is None else value.isoformat()


def _text_day(value: str | None) -> date | None:
    return None if value is None else date.fromisoformat(value)


class DayType(_PlainType[date]):
    """A day of the clinic's calendar; ISO text in SQLite."""

    impl = Date
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Choose the column type of the dialect."""
        return dialect.type_descriptor(Text() if dialect.name == "sqlite" else Date())

    def encoder(self, dialect: Dialect) -> Callable[[date | None], str | None] | None:
        """Send ISO text to SQLite."""
        return _day_text if dialect.name == "sqlite" else None

    def decoder(self, dialect: Dialect) -> Callable[[str | None], date | None] | None:
        """Make a date of SQLite's text."""
        return _text_day if dialect.name == "sqlite" else None


class JsonType(_PlainType[Any]):
    """A JSON value as canonical text (sorted keys), the same bytes on both databases."""

    impl = Text
    cache_ok = True

    def encoder(self, dialect: Dialect) -> Callable[[Any], str | None]:
        """Write canonical JSON."""
        del dialect
        return _json_text

    def decoder(self, dialect: Dialect) -> Callable[[str | None], Any]:
        """Read JSON."""
        del dialect
        return _read_json


def canonical_json(value: Any) -> str:
    """Return the one JSON text of a value: sorted keys, no spaces, ASCII only. Dates and instants become ISO text."""
    return _CANONICAL.encode(value)


def _json_text(value: Any) -> str | None:
    return None if value is None else canonical_json(value)


def _read_json(text: str | None) -> Any:
    return None if text is None else json.loads(text)


def _iso(value: Any) -> str:
    if isinstance(value, (date, datetime)):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no place in a stored JSON value")


_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False, default=_iso)


def as_text(column: Any) -> Any:
    """Return an id column as text, to compare it with the key of a stored effect."""
    return cast(column, Text)


Id = Annotated[str, mapped_column(IdType)]
Whole = Annotated[int, mapped_column(WholeType)]
Minor = Annotated[int, mapped_column(WholeType)]
Milli = Annotated[int, mapped_column(WholeType)]
Flag = Annotated[bool, mapped_column(FlagType)]
Instant = Annotated[datetime, mapped_column(InstantType)]
Day = Annotated[date, mapped_column(DayType)]
Name = Annotated[str, mapped_column(Text)]
Json = Annotated[Any, mapped_column(JsonType)]
