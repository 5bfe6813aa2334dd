"""Carries calls through psycopg's public pipeline: nothing is prepared, so a pooler of transactions may stand in between.

Slower than `direct`, and chosen by a setting. A failed pipeline is left first; the boundary rolls back after that.

The latest call of a trip goes alone, behind the pipeline, and costs a round trip more. psycopg asks for a Flush behind the pipeline's Sync, and
PostgreSQL, which had started to count the idle time, stops at that message and does not start again: nothing would end a unit whose hook hangs
with the invoice locked. Behind an ordinary statement it counts. And a COMMIT that goes alone is in doubt only if it was sent.
"""

from collections.abc import Sequence
from typing import Any

from psycopg import Connection, RawCursor

from billing.trips.statements import Call, Prepared, Row


class PipelineTrips:
    """Calls on psycopg, one pipeline for each trip and a statement behind it."""

    dialect = "postgresql"

    def __init__(self, driver: Connection[Any]) -> None:
        self._driver = driver

    def trip(self, calls: Sequence[Call]) -> list[list[Row]]:
        """Send the calls and return their rows."""
        *ahead, latest = calls
        rows = self._through_pipeline(ahead) if len(ahead) > 1 else [self._alone(call) for call in ahead]
        return [*rows, self._alone(latest)]

    def _through_pipeline(self, calls: Sequence[Call]) -> list[list[Row]]:
        with self._driver.pipeline():
            sent = [(prepared, self._sent((prepared, values))) for prepared, values in calls]
        return [_rows(prepared, cursor) for prepared, cursor in sent]

    def _alone(self, call: Call) -> list[Row]:
        return _rows(call[0], self._sent(call))

    def _sent(self, call: Call) -> RawCursor[Any]:
        return RawCursor(self._driver).execute(call[0].text, call[1], prepare=False)


def _rows(prepared: Prepared, cursor: RawCursor[Any]) -> list[Row]:
    return prepared.decode(cursor.fetchall()) if cursor.description is not None else []
