"""Calls that open a transaction travel with the first calls of it: an empty unit costs nothing, a full one no trip more."""

from collections.abc import Callable, Sequence

from billing.trips.statements import Call, Row, Trips


class OpeningTrips:
    """A carrier that sends its opening calls ahead of the first trip, and hands what they answered to `opened`."""

    def __init__(self, trips: Trips, opening: Sequence[Call], opened: Callable[[list[list[Row]]], None]) -> None:
        self.dialect = trips.dialect
        self._trips = trips
        self._opening = opening
        self._opened = opened

    def trip(self, calls: Sequence[Call]) -> list[list[Row]]:
        """Send the calls, behind the opening ones if they have not gone yet (also without any call)."""
        if not self._opening:
            return self._trips.trip(calls) if calls else []
        opening, self._opening = self._opening, ()
        rows = self._trips.trip([*opening, *calls])
        self._opened(rows[: len(opening)])
        return rows[len(opening) :]
