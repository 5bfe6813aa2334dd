"""Carries calls through psycopg's public pipeline: nothing is prepared, so a pooler of transactions may stand in between.

Slower than `direct`, and chosen by a setting. A failed pipeline is left first; the boundary rolls back after that.
"""

from collections.abc import Sequence
from typing import Any

from psycopg import Connection, RawCursor

from billing.trips.statements import Call, Prepared, Row


class PipelineTrips:
    """Calls on psycopg, one pipeline for each trip."""

    dialect = "postgresql"

    def __init__(self, driver: Connection[Any]) -> None:
        self._driver = driver

    def trip(self, calls: Sequence[Call]) -> list[list[Row]]:
        """Send the calls through one pipeline."""
        if len(calls) == 1:
            return [_rows(calls[0][0], RawCursor(self._driver).execute(calls[0][0].text, calls[0][1], prepare=False))]
        with self._driver.pipeline():
            sent = [(prepared, RawCursor(self._driver).execute(prepared.text, values, prepare=False)) for prepared, values in calls]
        return [_rows(prepared, cursor) for prepared, cursor in sent]


def _rows(prepared: Prepared, cursor: RawCursor[Any]) -> list[Row]:
    return prepared.decode(cursor.fetchall()) if cursor.description is not None else []
