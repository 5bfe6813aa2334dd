"""Named points of the work where a test may make it fail: `failpoint("commit.before")` does nothing until somebody listens.

A process listens if `BILLING_FAILPOINTS` was set when it started, never later, and says so on stderr. The text, after the crate fail-rs:

    commit.before=exit                    end the process there, as a power cut would
    payment.locked=2*off->raise           let it pass twice, then raise, each time
    hook.before.shelf.on_items_paid=1*raise(KeyboardInterrupt);commit.after=sleep(200)

It knows nothing of what is done at the points; what may be written there is in `POINTS` and in `ACTIONS`.
"""

import builtins
import os
import pkgutil
import re
import socket
import stat
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from itertools import chain, repeat
from pathlib import Path

from billing.errors import Misconfigured

POINTS: Mapping[str, str] = {
    "unit.begin": "a unit is about to take a connection and to begin its transaction",
    "unit.opened": "the transaction is open, the clinic and the actor are known",
    "payment.asked": "the cashier may take payments and what they gave can be used; nothing is locked",
    "payment.locked": "key, invoice and what the departments need are locked and read",
    "payment.decided": "what is due and what the tenders settle is known",
    "hook.before": "a hook of a plugin is about to be called; narrow it with .PLUGIN.HOOK",
    "hook.after": "a hook of a plugin has answered; narrow it with .PLUGIN.HOOK",
    "payment.planned": "all departments have answered and their changes were checked",
    "payment.collected": "all rows of the payment are with the unit; none was sent",
    "write.before": "what the unit has collected is about to be sent",
    "write.table": "on SQLite, the rows of a table are about to be written; narrow it with .TABLE",
    "write.number": "on SQLite, a document number was taken",
    "write.after": "what the unit has collected was sent",
    "commit.before": "the boundary is about to commit",
    "commit.sent": "the database has committed, and the boundary has not heard of it yet",
    "commit.after": "the unit is committed and its caller has not heard of it yet",
    "migration.before": "a lineage of migrations is about to be run; narrow it with .LINEAGE",
    "migration.after": "a lineage of migrations was run; narrow it with .LINEAGE",
}
"""Every point, in the order of a payment, and what is true there."""

EXIT_CODE = 86
"""The exit code of a process that was ended at a point."""

Listener = Callable[[str], None]
"""Hears the full name of each point that is reached: the point and, behind dots, where."""


class BadFailpoints(Misconfigured):
    """The text in `BILLING_FAILPOINTS` can't be read. Facts: `reason`."""

    code = "bad_failpoints"


class Failed(RuntimeError):
    """What a point raises if the text names nothing else."""


_listener: Listener | None = None


def failpoint(name: str, *where: str) -> None:
    """Tell whoever listens that this point was reached; in a process where nobody does, return at once."""
    if _listener is not None:
        _listener(".".join((name, *where)))


def listen(listener: Listener | None) -> None:
    """Let a test hear of every point of this process from now on; None ends it."""
    global _listener  # noqa: PLW0603 - one process, one listener: a lookup is all that a point costs while it is None
    _listener = listener


def arm(text: str) -> None:
    """Make points of this process fail as the text says, with a warning on stderr. Raises `BadFailpoints`."""
    plans = dict(_read(part) for part in filter(None, map(str.strip, text.split(";"))))
    sys.stderr.write(f"WARNING: BILLING_FAILPOINTS={text} - this process fails on purpose. Never set it where real money is taken.\n")

    def fail(reached: str) -> None:
        for name, steps in plans.items():
            if reached == name or reached.startswith(f"{name}."):
                next(steps)()

    listen(fail)


def _read(part: str) -> tuple[str, Iterator[Callable[[], None]]]:
    name, _, plan = part.partition("=")
    if not any(name == point or name.startswith(f"{point}.") for point in POINTS):
        raise _unreadable(f"there is no point {name!r}: `billing dev failpoints` lists them")
    *first, last = plan.split("->")
    return name, chain(*(_step(step, last=False) for step in first), _step(last, last=True))


def _step(step: str, *, last: bool) -> Iterator[Callable[[], None]]:
    found = re.fullmatch(r"(?:(\d+)\*)?(\w+)(?:\(([\w.]+)\))?", step.strip())
    if found is None or found[2] not in ACTIONS or not (last or found[1]):
        raise _unreadable(f"{step!r} is no step: write one of {', '.join(ACTIONS)}, with a count in front if another one follows")
    try:
        act = ACTIONS[found[2]](found[3])
    except (ValueError, ImportError, AttributeError) as error:
        raise _unreadable(f"{step!r}: {error}") from None
    if found[1] is None:
        return repeat(act)
    return chain(repeat(act, int(found[1])), repeat(_pass) if last else ())


def _unreadable(reason: str) -> BadFailpoints:
    return BadFailpoints(f"BILLING_FAILPOINTS can't be used: {reason}. Example: commit.before=exit", reason=reason)


def _pass() -> None:
    pass


def _exit() -> None:
    sys.stderr.flush()
    os._exit(EXIT_CODE)


def _cut() -> None:
    """Shut down every connection of this process, as a cable that is pulled."""
    for entry in Path("/proc/self/fd").iterdir():
        try:
            if stat.S_ISSOCK(os.fstat(int(entry.name)).st_mode):
                with socket.socket(fileno=os.dup(int(entry.name))) as connection:
                    connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            continue  # closed meanwhile, or a socket that is connected to nobody


def _raising(name: str | None) -> Callable[[], None]:
    kind = getattr(builtins, name, None) or pkgutil.resolve_name(name) if name else Failed
    if not (isinstance(kind, type) and issubclass(kind, BaseException)):
        raise ValueError(f"{name} is no exception")  # noqa: TRY004 - a text is at fault, not a type

    def act() -> None:
        raise kind("failed on purpose")

    return act


def _sleeping(milliseconds: str | None) -> Callable[[], None]:
    duration = int(milliseconds or 1000)
    return lambda: time.sleep(duration / 1000)


ACTIONS: Mapping[str, Callable[[str | None], Callable[[], None]]] = {
    "off": lambda _: _pass,
    "exit": lambda _: _exit,
    "raise": _raising,
    "sleep": _sleeping,
    "cut": lambda _: _cut,
}
"""What can happen at a point; `raise` takes an exception's name in brackets, `sleep` milliseconds."""
