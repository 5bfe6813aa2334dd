"""The order in which tables are written: what others refer to comes first."""

from collections.abc import Iterable
from functools import cache

from billing.model import Base
from billing.model.writes import DeleteRows, Write


def in_order(writes: Iterable[Write]) -> list[Write]:
    """Return the writes with deletes in front and every table behind those that it refers to."""
    order = _table_order()
    return sorted(writes, key=lambda each: (not isinstance(each, DeleteRows), order[each.table.name]))


def _table_order() -> dict[str, int]:
    return _order_of(frozenset(Base.metadata.tables))


@cache
def _order_of(tables: frozenset[str]) -> dict[str, int]:
    del tables  # only the cache's key: a plugin loaded later brings new tables
    return {table.name: place for place, table in enumerate(Base.metadata.sorted_tables)}
