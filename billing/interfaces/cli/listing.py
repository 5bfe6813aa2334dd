"""Lists of any length, a page at a time: each page is a unit of its own, and no more than one is in memory. Knows no noun."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from billing.interfaces.cli import render
from billing.interfaces.cli.console import Console

if TYPE_CHECKING:
    from billing.transaction import Transaction

PAGE = 200

Fetch = Callable[["Transaction", int, Any], Sequence[Any]]
"""Returns at most so many rows behind a place: `fetch(tx, limit, after)`."""


def show_list(
    console: Console,
    fetch: Fetch,
    *,
    columns: Sequence[str],
    limit: int,
    everything: bool,
    place: Callable[[Any], Any] = lambda row: row.id,
) -> None:
    """Print the first rows, or, with `everything`, all of them. `place` is what of the last row the next page goes on behind."""
    if everything:
        console.show_pages(_pages(console, fetch, place), columns=columns)
        return
    found, currency = console.read(lambda tx: (fetch(tx, limit, None), tx.clinic.currency))
    console.show(render.rows(found, currency), columns=columns)


def _pages(console: Console, fetch: Fetch, place: Callable[[Any], Any]) -> Iterator[list[render.Fields]]:
    after = None
    while True:
        found, currency = console.read(lambda tx, after=after: (fetch(tx, PAGE, after), tx.clinic.currency))  # type: ignore[misc]
        if found:
            yield render.rows(found, currency)
        if len(found) < PAGE:
            return
        after = place(found[-1])
