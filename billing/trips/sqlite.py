"""Carries calls on sqlite3: in the same process, so there is no trip to save."""

from collections.abc import Sequence
from typing import Any

from billing.trips.statements import Call, Row


class SQLiteTrips:
    """Calls on sqlite3, one after another."""

    dialect = "sqlite"

    def __init__(self, driver: Any) -> None:
        self._driver = driver

    def trip(self, calls: Sequence[Call]) -> list[list[Row]]:
        """Run the calls in order."""
        return [prepared.decode(self._driver.execute(prepared.text, values).fetchall()) for prepared, values in calls]
