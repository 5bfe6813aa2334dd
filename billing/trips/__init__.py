"""The carrier: statements in, rows out, one round trip. Knows the drivers and nothing of what it carries.

`statements` compiles once and keeps; `sqlite`, `direct` and `pipeline` carry, one file for each way to a database.
"""

from billing.trips.opening import OpeningTrips
from billing.trips.sqlite import SQLiteTrips
from billing.trips.statements import DIALECTS, Call, Preparable, Prepared, Query, Row, Trips, prepare

__all__ = ["DIALECTS", "Call", "OpeningTrips", "Preparable", "Prepared", "Query", "Row", "SQLiteTrips", "Trips", "prepare"]
