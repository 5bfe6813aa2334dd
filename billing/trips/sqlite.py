"""Carries calls on sqlite3, in the same process, so there is no trip to save; and waits for a writer's turn, which SQLite does badly."""

import random
import sqlite3
import time
from collections.abc import Sequence

from billing.trips.statements import Call, Row

BEGIN_WRITING = "BEGIN IMMEDIATE"


class SQLiteTrips:
    """Calls on sqlite3, one after another. A writer waits for its turn up to `patience_seconds`."""

    dialect = "sqlite"

    def __init__(self, driver: sqlite3.Connection, *, patience_seconds: float) -> None:
        self._driver = driver
        self._patience_seconds = patience_seconds

    def trip(self, calls: Sequence[Call]) -> list[list[Row]]:
        """Run the calls in order."""
        found: list[list[Row]] = []
        for prepared, values in calls:
            if prepared.text == BEGIN_WRITING:
                begin_writing(self._driver, self._patience_seconds)
                found.append([])
            else:
                found.append(prepared.decode(self._driver.execute(prepared.text, values).fetchall()))
        return found


def begin_writing(driver: sqlite3.Connection, seconds: float) -> None:
    """Begin a writing transaction, when it is our turn. Raises the driver's "database is locked" after so many seconds.

    It waits here and not in SQLite, which asks only every 100 ms in the end: of 16 writers one got in after 16 seconds, when all others
    were done. Who asks often, and not in step with the others, has waited one second among these; who waits long asks ever more often.
    """
    driver.execute("PRAGMA busy_timeout=0")
    try:
        deadline = time.monotonic() + seconds
        while not _got_in(driver, last_try=(left := deadline - time.monotonic()) <= 0):
            time.sleep(random.random() * (left / seconds) ** 4 / 200)  # noqa: S311 - no secret
    finally:
        driver.execute(f"PRAGMA busy_timeout={round(seconds * 1000)}")


def _got_in(driver: sqlite3.Connection, *, last_try: bool) -> bool:
    try:
        driver.execute(BEGIN_WRITING)
    except sqlite3.OperationalError as error:
        if last_try or error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
            raise
        return False
    return True
