"""Watches that every statement of a unit touches one part of each clinic table: on a cluster, one node. For tests on the stand-in.

Each statement's text is explained once, with the values that it is sent with, whatever carries it to the database.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import psycopg
from psycopg import RawCursor
from sqlalchemy import Connection, Engine, NullPool, create_engine, event, make_url

from billing.testing.partitions import PART, is_stand_in
from billing.trips import Call
from billing.trips.direct import DirectTrips
from billing.trips.pipeline import PipelineTrips

ALLOWED: dict[str, str] = {}
"""Statements that may touch every part, by how they begin, and why. Backup and migrations read over all clinics too, in a transaction of their own
kind (`over_all_clinics`)."""

EXPLAIN = "EXPLAIN (FORMAT JSON) "

_EXPLAINABLE = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE|WITH|MERGE)\b", re.IGNORECASE)


class Plans:
    """The plans of all statements seen so far, and the statements that touch several parts of a table."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self.scattered: dict[str, list[str]] = {}
        self.allowed: dict[str, list[str]] = {}

    def look_at(self, statement: str, explain: Callable[[str], Any]) -> None:
        """Have a statement explained, unless it was before; `explain` returns the answer to the text that it gets."""
        if statement in self.seen or not _EXPLAINABLE.match(statement):
            return
        try:
            tables = scattered_tables(explain(EXPLAIN + statement))
        except psycopg.Error:  # a value that the statement itself will be refused for
            return
        self.seen.add(statement)
        reasons = self.allowed if allowed(statement) else self.scattered
        if tables:
            reasons[statement] = tables


def allowed(statement: str) -> bool:
    """Say whether a statement may touch every part."""
    return " ".join(statement.split()).startswith(tuple(ALLOWED))


PLANS = Plans()
"""The plans of this process's tests."""


def scattered_tables(plan: Any) -> list[str]:
    """Return the tables of which a plan touches more than one part."""
    parts: dict[str, set[str]] = {}
    for name in _relations(plan):
        if found := PART.fullmatch(name):
            parts.setdefault(found.group(1), set()).add(name)
    return sorted(table for table, touched in parts.items() if len(touched) > 1)


@contextmanager
def watching(url: str, plans: Plans = PLANS) -> Iterator[Plans]:
    """Look at every statement that a unit sends to the stand-in at `url` within the block.

    Explained on a connection of its own, as a role that no policy binds: a policy chooses parts on one server, but no nodes on a cluster.
    """
    engine = create_engine(make_url(url).set(username="postgres"), isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with engine.connect() as admin, ExitStack() as stack:
        driver: Any = admin.connection.driver_connection

        def before_cursor(connection: Connection, cursor: Any, statement: str, values: Any, context: Any, many: bool) -> None:  # noqa: FBT001 - SQLAlchemy's
            del cursor, context
            options = connection.get_execution_options()
            if is_stand_in(connection) and "billing_mode" in options and not options.get("billing_all_clinics"):
                first = values[0] if many else values
                plans.look_at(statement, lambda text: driver.execute(text, first).fetchone()[0])

        for carrier in (DirectTrips, PipelineTrips):
            stack.enter_context(patch.object(carrier, "trip", _looking(carrier.trip, plans, driver)))
        event.listen(Engine, "before_cursor_execute", before_cursor)
        stack.callback(event.remove, Engine, "before_cursor_execute", before_cursor)
        yield plans


def _looking(trip: Callable[..., Any], plans: Plans, driver: Any) -> Callable[..., Any]:
    def looked_at(self: Any, calls: Sequence[Call]) -> Any:
        for prepared, values in calls:
            plans.look_at(prepared.text, lambda text, values=values: RawCursor(driver).execute(text, values).fetchone()[0])  # type: ignore[misc,index]
        return trip(self, calls)

    return looked_at


def _relations(plan: Any) -> Iterator[str]:
    if isinstance(plan, dict):
        if isinstance(name := plan.get("Relation Name"), str):
            yield name
        plan = list(plan.values())
    if isinstance(plan, list):
        for each in plan:
            yield from _relations(each)
