"""Processes at the same database: each opens it by itself and does the acts that it is handed. One may die in the middle; another takes its place.

An act is anything picklable that is called with `tx` and returns what was made; it is one unit of work.
"""

import multiprocessing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from typing import Any, Self

from billing import failpoints, registry
from billing.errors import BillingError
from billing.registry import Registry
from billing.services.installation import open_database
from billing.services.setup import OPERATOR_LOGIN
from billing.settings import Settings, read_settings
from billing.testing.shelf import Desk, Shelf

DIED = "died"
"""The code of an act in which its process ended."""

# A fork of a clean process that has imported everything and opened nothing: as separate as a spawned one, and made in a hundredth of the time.
_CONTEXT: Any = multiprocessing.get_context("forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an act came to: the printed number and its row's id, or the code of its refusal."""

    number: str | None = None
    id: str | None = None
    code: str | None = None
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class Failing:
    """An act during which points of its process fail, in the words of `billing.failpoints`."""

    act: Any
    text: str


def shelf_and_desk() -> Registry:
    """Return the plugins that tests use where they don't say otherwise."""
    return registry.of_modules({"shelf": Shelf(), "desk": Desk()})


class Crew:
    """So many processes at one clinic of a database. Use it as a context: they end with the block."""

    def __init__(
        self,
        url: str,
        size: int,
        *,
        clinic: str = "north",
        plugins: Callable[[], Registry] = shelf_and_desk,
        settings: Settings | None = None,
        seconds: float = 120,
    ) -> None:
        _CONTEXT.set_forkserver_preload([__name__, "pytest"])
        self._start = _CONTEXT.Barrier(size)
        self._member = (url, clinic, plugins, settings or read_settings(), self._start, seconds)
        self._seconds = seconds
        self._members = [_Member(*self._member) for _ in range(size)]

    def __enter__(self) -> Self:
        """Return the crew."""
        return self

    def __exit__(self, *_: object) -> None:
        """End all processes."""
        for member in self._members:
            member.stop()

    def race(
        self, acts: Sequence[Sequence[Any]], *, clinics: Sequence[str] | None = None, actors: Sequence[str] = (OPERATOR_LOGIN,)
    ) -> list[list[Outcome]]:
        """Let each process do its own list of acts, all from the same moment on; return their outcomes in order.

        The processes take `clinics` and `actors` in turn. A list ends with the outcome `DIED` where its process ended.
        """
        assert len(acts) == len(self._members), "a list of acts for each process"
        for place, (member, own) in enumerate(zip(self._members, acts, strict=True)):
            member.hand(own, clinics[place % len(clinics)] if clinics else None, actors[place % len(actors)])
        found = [member.hear(len(own)) for member, own in zip(self._members, acts, strict=True)]
        self._members = [member if outcomes[-1:] != [Outcome(code=DIED)] else _Member(*self._member) for member, outcomes in
                         zip(self._members, found, strict=True)]  # fmt: skip
        return found


class _Member:
    """One process, seen from the tests."""

    def __init__(self, url: str, clinic: str, plugins: Callable[[], Registry], settings: Settings, start: Any, seconds: float) -> None:
        # Pipes and no socket pair: a member that has its connections cut must still be heard.
        theirs, self._hand = _CONTEXT.Pipe(duplex=False)
        self._hear, theirs_out = _CONTEXT.Pipe(duplex=False)
        self._seconds = seconds
        self._process = _CONTEXT.Process(target=_work, args=(url, clinic, plugins, settings, start, theirs, theirs_out), daemon=True)
        self._process.start()
        theirs.close()
        theirs_out.close()

    def hand(self, acts: Sequence[Any], clinic: str | None, actor: str) -> None:
        """Give the process its acts."""
        self._hand.send((clinic, actor, list(acts)))

    def hear(self, count: int) -> list[Outcome]:
        """Return an outcome for each act, as far as the process came."""
        outcomes: list[Outcome] = []
        try:
            while len(outcomes) < count:
                if not self._hear.poll(self._seconds):
                    self._process.kill()
                    raise AssertionError(f"a process did not answer within {self._seconds} s")
                outcomes.append(self._hear.recv())
        except EOFError:
            outcomes.append(Outcome(code=DIED))
            self.stop()
        return outcomes

    def stop(self) -> None:
        """End the process."""
        self._hand.close()
        self._process.join(timeout=10)
        if self._process.is_alive():
            self._process.kill()
        self._hear.close()


def _work(
    url: str, clinic: str, plugins: Callable[[], Registry], settings: Settings, start: Any, acts: Connection, outcomes: Connection
) -> None:
    database = open_database(url, plugins=plugins(), settings=settings)
    database.read(lambda tx: tx.clinic_id, clinic=clinic, actor=OPERATOR_LOGIN)  # connected and warm before the first start
    while True:
        try:
            here, actor, own = acts.recv()
        except EOFError:  # the tests are done
            break
        start.wait(timeout=60)
        for act in own:
            outcomes.send(_outcome(partial(_do, database, act, here or clinic, actor)))
    database.dispose()


def _do(database: Any, act: Any, clinic: str, actor: str) -> Any:
    if not isinstance(act, Failing):
        return database.run(act, clinic=clinic, actor=actor)
    failpoints.arm(act.text)
    try:
        return database.run(act.act, clinic=clinic, actor=actor)
    finally:
        failpoints.listen(None)


def _outcome(act: Callable[[], Any]) -> Outcome:
    try:
        made = act()
    except BillingError as error:
        return Outcome(code=error.code)
    except BaseException as error:  # noqa: BLE001 - what a failing point raised is an outcome too
        return Outcome(code=type(error).__name__)
    number = made.receipt_number if hasattr(made, "receipt_number") else made.number
    return Outcome(number=number, id=made.id, replayed=getattr(made, "replayed", False))
