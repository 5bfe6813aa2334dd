"""Carries calls straight over libpq (`psycopg.pq`): all of a trip in one write, every statement prepared under a name of our own.

This is what makes a payment as quick as a stored function. psycopg's own pipeline does the same work with a cursor, a generator and a send
for each statement, and forgets its prepared statements at each ROLLBACK.

What can go wrong, and what then holds:
- The database refuses a call: the calls behind it were skipped, the connection has left the pipeline, and the boundary can roll back.
- The connection is lost, or anything else is raised while a trip is under way (Ctrl-C too): the connection is closed, since nobody knows
  what is still to come on it. Values are encoded before the first byte is sent, so a value that can't be sent breaks nothing.
"""

import select
from collections.abc import Callable, Sequence
from datetime import date, datetime
from functools import cache
from hashlib import sha256
from typing import Any

from psycopg import Connection, DataError, OperationalError, adapt, errors
from psycopg.pq import ConnStatus, ExecStatus
from psycopg.pq.abc import PGconn, PGresult

from billing.trips.statements import Call, Prepared, Row

_Transformer: Any = adapt.Transformer  # the quick one of the driver, where it is there

MOST_NAMES = 1000
"""Statements prepared on one connection; what comes later is sent unprepared. Texts are constant, so this is never reached by honest use."""

_GOOD = frozenset({ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK})
_GONE_STATEMENT = frozenset({"26000", "42P05", "0A000"})
"""The name is unknown or taken (a pooler, DISCARD ALL), or its answer would have another form now (a migration went by)."""


class StatementForgotten(OperationalError):
    """Our prepared statements are not those of the server. Nothing of the transaction stands: run it again, all is prepared anew."""

    sqlstate = "40001"


class DirectTrips:
    """Calls on libpq. `names` are the statements prepared on this connection, kept as long as it lives."""

    dialect = "postgresql"

    def __init__(self, driver: Connection[Any], names: dict[str, bytes]) -> None:
        self._driver = driver
        self._pg = driver.pgconn
        self._names = names
        self._load = _Transformer(driver)

    def trip(self, calls: Sequence[Call]) -> list[list[Row]]:
        """Send the calls in one write and return their rows."""
        sending: list[Callable[[], None]] = []
        preparing: dict[int, tuple[str, bytes]] = {}
        fresh: dict[str, bytes] = {}
        places = []
        for prepared, values in calls:
            texts = [value.encode() if type(value) is str else _text(value) for value in values]
            if b"\0" in b"".join(filter(None, texts)):  # libpq would end the text there
                raise DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes")
            name = self._names.get(prepared.text) or fresh.get(prepared.text)
            if name is None and prepared.kept and len(self._names) + len(preparing) < MOST_NAMES:
                name = fresh[prepared.text] = _name(prepared.text)
                preparing[len(sending)] = prepared.text, name
                sending.append(_prepare(self._pg, name, prepared.text.encode()))
            places.append(len(sending))
            sending.append(_execute(self._pg, name, prepared, texts))
        results = self._exchange(sending)
        for place, (text, name) in preparing.items():
            if place < len(results) and results[place].status in _GOOD:
                self._names[text] = name
        for result in results:
            if result.status not in _GOOD:
                raise self._error(result)
        return [_rows(self._load, prepared, results[place]) for place, (prepared, _) in zip(places, calls, strict=True)]

    def _exchange(self, sending: Sequence[Callable[[], None]]) -> list[PGresult]:
        pg = self._pg
        results: list[PGresult] = []
        try:
            pg.enter_pipeline_mode()
            for send in sending:
                send()
            pg.pipeline_sync()
            _read_answers(pg, results)
            pg.exit_pipeline_mode()
        except OperationalError as error:
            self._driver.close()
            raise (_last_words(results) or error) from None
        except BaseException:
            self._driver.close()
            raise
        return results

    def _error(self, result: PGresult) -> errors.Error:
        error = errors.error_from_result(result, encoding="utf-8")
        if error.sqlstate in _GONE_STATEMENT and ("prepared statement" in str(error) or "cached plan" in str(error)):
            self._names.clear()
            return StatementForgotten(f"{error}; behind a pooler of transactions set BILLING_CARRIER=pipeline")
        return error


@cache
def _name(text: str) -> bytes:
    # By the text: where a pooler mixes connections up, the same name never means another statement.
    return b"b" + sha256(text.encode()).hexdigest()[:30].encode()


def _prepare(pg: PGconn, name: bytes, text: bytes) -> Callable[[], None]:
    return lambda: pg.send_prepare(name, text)


def _execute(pg: PGconn, name: bytes | None, prepared: Prepared, values: list[bytes | None]) -> Callable[[], None]:
    if name is None:
        return lambda: pg.send_query_params(prepared.text.encode(), values)
    return lambda: pg.send_query_prepared(name, values)


def _read_answers(pg: PGconn, results: list[PGresult]) -> None:
    """Write what is queued and read until the end of the trip, both at once: a server that answers before it has read all must not wait for us."""
    waiting = select.poll()
    unsent = pg.flush()
    while True:
        while not pg.is_busy():
            result = pg.get_result()
            if result is None:  # the end of one call's results, or of the connection
                if pg.status == ConnStatus.BAD:
                    raise OperationalError(pg.get_error_message())
            elif result.status == ExecStatus.PIPELINE_SYNC:
                return
            else:
                results.append(result)
        waiting.register(pg.socket, select.POLLIN | (select.POLLOUT if unsent else 0))
        waiting.poll()
        pg.consume_input()
        if unsent:
            unsent = pg.flush()


def _last_words(results: Sequence[PGresult]) -> errors.Error | None:
    """Return what the server has said before it went away, if it has: whether the unit may run again depends on why."""
    refusals = [errors.error_from_result(each, encoding="utf-8") for each in results if each.status == ExecStatus.FATAL_ERROR]
    return next((each for each in reversed(refusals) if each.sqlstate), None)


def _rows(load: Any, prepared: Prepared, result: PGresult) -> list[Row]:
    if result.status != ExecStatus.TUPLES_OK or not result.ntuples:
        return []
    load.set_pgresult(result)
    return prepared.decode(load.load_rows(0, result.ntuples, tuple))


def _text(value: Any) -> bytes | None:
    if value is None:
        return None
    if isinstance(value, str):
        return value.encode()
    kind = type(value)
    if kind is int:
        return b"%d" % value
    if kind is bool:
        return b"t" if value else b"f"
    if isinstance(value, (datetime, date)):
        return value.isoformat().encode()
    raise TypeError(f"a value of type {kind.__name__} can't be sent")
