"""Carries writes out on PostgreSQL: all of them as one statement of data-modifying CTEs over arrays, whose text does not depend on the rows.

Every UPDATE carries its expected count: a cast of a text that depends on the count fails the statement with 22P02 where rows are missing.
The document number and the end of the audit chain are taken by the same statement, so those two rows are held only until COMMIT.
"""

from collections.abc import Sequence

from billing.changes.arrays import array_literals, column_types
from billing.changes.composition import Asked, compose
from billing.changes.order import in_order
from billing.model.writes import AuditRow, DeleteRows, Write
from billing.trips import Call, Prepared, Row, Trips

_CHAIN_LIMIT = 8
"""Entries chained by one statement: the hash of each is written out inside the next one's."""


def carry_out(
    trips: Trips, clinic_id: str, writes: Sequence[Write], audit: Sequence[AuditRow], calls: Sequence[Call] = ()
) -> list[list[Row]]:
    """Write everything, and run further calls behind it, in one round trip (and one more for every eight further audit entries).

    Returns the rows of the calls. Driver errors are the boundary's to explain.
    """
    deletes = [_delete(clinic_id, write) for write in writes if isinstance(write, DeleteRows)]
    # A cluster runs the parts of the statement one after another, and checks references after each.
    sets = [write for write in in_order(writes) if not isinstance(write, DeleteRows)]
    chained = [audit[start : start + _CHAIN_LIMIT] for start in range(0, len(audit), _CHAIN_LIMIT)] or [audit]
    for place, entries in enumerate(chained):
        asked = Asked(clinic_id, [] if place else sets, entries)
        composed = compose(asked)
        before = [] if place else deletes
        behind = calls if place == len(chained) - 1 else ()
        rows = trips.trip([*before, composed.call(asked), *behind])
        asked.learn(rows[len(before)][0])
    return rows[len(before) + 1 :]


def _delete(clinic_id: str, write: DeleteRows) -> Call:
    # On its own: the order of CTEs in one statement is not promised, and new rows may take the place of the old ones.
    names, types = tuple(write.keys[0]), column_types(write.table)
    source = ", ".join(f"${place}::{types[name]}[]" for place, name in enumerate(names, start=2))
    same = " AND ".join(f"t.{name} = u.{name}" for name in names)
    text = f"DELETE FROM {write.table.name} AS t USING unnest({source}) AS u({', '.join(names)}) WHERE t.clinic_id = $1::uuid AND {same}"
    return Prepared(text), (clinic_id, *array_literals(write.table, names)(write.keys))
