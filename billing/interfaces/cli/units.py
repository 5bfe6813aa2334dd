"""The shapes that nearly all commands have: one act and its result, one thing, or a list of any length. Knows no noun."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from billing.interfaces.cli import render
from billing.interfaces.cli.console import Console

if TYPE_CHECKING:
    from billing.money import Currency
    from billing.transaction import Transaction

PAGE = 500

Fetch = Callable[["Transaction", int, Any], Sequence[Any]]
"""Returns at most so many rows behind a place: `fetch(tx, limit, after)`."""


def show_act(console: Console, act: "Callable[[Transaction], Any]") -> None:
    """Run one unit of work and print the value that it returns."""
    done, currency = console.run(lambda tx: (act(tx), tx.clinic.currency))
    console.show(render.fields(done, currency))


def show_one(console: Console, read: "Callable[[Transaction], Any]") -> None:
    """Run one unit that reads and print the value that it returns."""
    found, currency = console.read(lambda tx: (read(tx), tx.clinic.currency))
    console.show(render.fields(found, currency))


def show_rows(console: Console, read: "Callable[[Transaction], Sequence[Any]]", *, columns: Sequence[str]) -> None:
    """Run one unit that reads and print the values that it returns as rows."""
    found, currency = console.read(lambda tx: (read(tx), tx.clinic.currency))
    console.show(render.rows(found, currency), columns=columns)


def show_list(
    console: Console,
    fetch: Fetch,
    *,
    columns: Sequence[str],
    limit: int,
    everything: bool,
    place: Callable[[Any], Any] = lambda row: row.id,
) -> None:
    """Print the first rows, or, with `everything`, all: each page is a unit of its own, and one page is all that is ever in memory.

    `place` is what of a page's last row the next page goes on behind.
    """
    if everything:
        console.show_pages(_pages(console, fetch, place), columns=columns)
    else:
        show_rows(console, lambda tx: fetch(tx, limit, None), columns=columns)


def _pages(console: Console, fetch: Fetch, place: Callable[[Any], Any]) -> Iterator[list[render.Fields]]:
    after = None
    while page := console.read(lambda tx, after=after: _page(tx, fetch, after)):  # type: ignore[misc]
        found, currency = page
        yield render.rows(found, currency)
        after = place(found[-1])


def _page(tx: "Transaction", fetch: Fetch, after: Any) -> "tuple[Sequence[Any], Currency] | None":
    # A page may be shorter than asked for and not be the last one: only an empty one ends the list.
    found = fetch(tx, PAGE, after)
    return (found, tx.clinic.currency) if found else None
