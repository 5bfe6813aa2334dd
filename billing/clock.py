"""The only clock, and what day it is in a clinic's time zone. It must not know clinics, tables or settings.

Services never ask for the time: the boundary reads `now()` once, into `tx.at`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from billing.errors import Invalid

# They exist in many zone folders, but mean something else on the next machine: a clinic's days would move with its server.
_MACHINE_DEPENDENT = frozenset({"localtime", "posixrules", "Factory"})

_fixed_at: ContextVar[datetime | None] = ContextVar("billing_fixed_at", default=None)


class UnknownTimeZone(Invalid):
    """There is no such IANA time zone. Facts: `name`."""

    code = "unknown_time_zone"


def now() -> datetime:
    """Tell the present instant, aware and in UTC, to the microsecond; inside `fixed` the fixed one."""
    return _fixed_at.get() or datetime.now(UTC)


@contextmanager
def fixed(at: datetime) -> Iterator[datetime]:
    """Let `now()` answer `at` in this block, for tests.

    It holds for the current context: a thread that is started inside begins with the real time and needs a block of its own.
    A naive `at` raises ValueError.
    """
    token = _fixed_at.set(_aware(at).astimezone(UTC))
    try:
        yield now()
    finally:
        _fixed_at.reset(token)


def zone(name: str) -> ZoneInfo:
    """Find the IANA time zone of that name (`Europe/Berlin`). Raises `UnknownTimeZone`."""
    try:
        found = ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # A bad path is a ValueError, a folder such as "Europe" an OSError.
        found = None
    if found is None or name in _MACHINE_DEPENDENT:
        sentence = f"There is no time zone {name[:40]!r}: give an IANA name such as 'Europe/Berlin' or 'UTC'."
        raise UnknownTimeZone(sentence, name=name)
    return found


def local(at: datetime, zone: str) -> datetime:
    """Show the instant `at` as the clocks in `zone` do. A naive `at` raises ValueError."""
    return _aware(at).astimezone(_zone(zone))


def business_date(at: datetime, zone: str) -> date:
    """Name the calendar day in `zone` at the instant `at`; it begins at local midnight. A naive `at` raises ValueError."""
    return local(at, zone).date()


_zone = zone  # `zone` is also the plain name of the parameter of `local`.


def _aware(at: datetime) -> datetime:
    if at.utcoffset() is None:
        raise ValueError(f"{at!r} has no time zone: instants are aware")
    return at
