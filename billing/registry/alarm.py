"""An alarm for hooks that don't come back: in a command, a signal ends them. In a server nothing in one process can. Knows no plugin."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class HookTimeout(BaseException):
    """A hook has not returned in time. No `except Exception` of a plugin catches it."""


@contextmanager
def alarm(seconds: float) -> Iterator[None]:
    """Raise `HookTimeout` in the block after `seconds`; do nothing in other threads than the main one, and where no such signal exists."""
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return

    def ring(*_: Any) -> None:
        raise HookTimeout(f"no answer after {seconds:g} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
