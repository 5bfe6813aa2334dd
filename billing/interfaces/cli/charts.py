"""Bars of block characters, for people at a terminal. Knows no noun."""

import sys
from collections.abc import Sequence

_EIGHTHS = " ▏▎▍▌▋▊▉"
_WIDTH = 40


def on_terminal() -> bool:
    """Whether somebody looks: bars are no data, so no file and no program gets them."""
    return sys.stdout.isatty()


def bars(rows: Sequence[tuple[str, int, str]], *, width: int = _WIDTH) -> list[str]:
    """Return a line for each (label, amount, amount as text): the longest bar is `width` characters, to an eighth of one; below zero there is none."""
    if not rows:
        return []
    most = max((amount for _, amount, _ in rows), default=0)
    labels = max(len(label) for label, _, _ in rows)
    amounts = max(len(text) for *_, text in rows)
    return [f"{label:<{labels}}  {text:>{amounts}}  {bar(amount, most, width)}".rstrip() for label, amount, text in rows]


def bar(amount: int, most: int, width: int = _WIDTH) -> str:
    """Return the bar of an amount where `most` is `width` characters long."""
    if amount <= 0 or most <= 0:
        return ""
    whole, part = divmod((amount * width * 8 * 2 + most) // (most * 2), 8)
    return "█" * whole + (_EIGHTHS[part] if part else "")
