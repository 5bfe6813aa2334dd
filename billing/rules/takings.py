"""Takings of one act, by department and by method: how amounts by one and by the other are put into cells of both. Pure."""

from collections.abc import Mapping


def spread(rows: Mapping[tuple[str, str], int], columns: Mapping[str, int]) -> dict[tuple[str, str, str], int]:
    """Return amounts by (department, provider, method) of which the sums are those of the rows and those of the columns, exactly.

    `rows` by (department, provider), `columns` by method, with equal sums; amounts may be below zero (money that went on account before and
    is used up now). Filled from the corner on, in the given order: what a method paid for first is what stands first.
    """
    if sum(rows.values()) != sum(columns.values()):
        raise ValueError(f"rows sum to {sum(rows.values())}, columns to {sum(columns.values())}")
    cells: dict[tuple[str, str, str], int] = {}
    left = dict(columns)
    latest = list(rows)[-1]
    for (department, provider), amount in rows.items():
        rest = amount
        for method in list(left):
            part = min(rest, left[method]) if rest > 0 and left[method] > 0 else 0
            _add(cells, department, provider, method, part)
            left[method] -= part
            rest -= part
        # What is below zero, or more than the methods have left before such a row comes, stands with the first method.
        first = next(iter(left))
        _add(cells, department, provider, first, rest)
        left[first] -= rest
    for method, amount in left.items():  # they sum to nothing
        _add(cells, *latest, method, amount)
    return {place: amount for place, amount in cells.items() if amount}


def _add(cells: dict[tuple[str, str, str], int], department: str, provider: str, method: str, amount: int) -> None:
    cells[department, provider, method] = cells.get((department, provider, method), 0) + amount
