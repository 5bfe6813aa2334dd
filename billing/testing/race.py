"""Races with real processes: each opens the database by itself, waits at the barrier, and does its act. Exact winners, exact losers."""

import multiprocessing
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from billing import registry
from billing.errors import BillingError
from billing.rules.settlement import Scope
from billing.services import invoice_steps, invoices, payments
from billing.services.installation import open_database
from billing.services.setup import OPERATOR_LOGIN
from billing.settings import Settings, read_settings
from billing.testing.shelf import Desk, Shelf
from billing.testing.world import items_of, tenders_of
from billing.transaction import Transaction

# A fork of a clean process that has imported everything and opened nothing: as separate as a spawned one, and made in a hundredth of the time.
_CONTEXT: Any = multiprocessing.get_context("forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn")


@dataclass(frozen=True, slots=True)
class Pay:
    """Take a payment."""

    invoice_id: str
    tenders: tuple[str, ...]
    scope: str = "ALL"
    key: str | None = None

    def __call__(self, tx: Transaction) -> Any:
        """Return the taken payment."""
        return payments.take_payment(
            tx, invoice_id=self.invoice_id, scope=Scope.parse(self.scope), tenders=tenders_of(tx, self.tenders), key=self.key
        )


@dataclass(frozen=True, slots=True)
class Bill:
    """Create an invoice, and with `issue` issue it; with `fail`, undo it after the number was taken."""

    patient_id: str
    items: tuple[str, ...]
    fail: bool = False
    key: str | None = None
    issue: bool = False

    def __call__(self, tx: Transaction) -> Any:
        """Return the made invoice."""
        made: Any = invoices.create_invoice(tx, patient_id=self.patient_id, items=items_of(self.items), key=self.key)
        if self.issue:
            made = invoice_steps.issue_invoice(tx, invoice_id=made.id)
        tx.flush()  # the number is taken here, so that the failure comes after it
        if self.fail:
            raise Undone("undone on purpose")
        return made


@dataclass(frozen=True, slots=True)
class Issue:
    """Issue a draft."""

    invoice_id: str

    def __call__(self, tx: Transaction) -> Any:
        """Return the issued invoice."""
        return invoice_steps.issue_invoice(tx, invoice_id=self.invoice_id)


class Undone(BillingError):
    """A unit undone on purpose."""

    code = "undone"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an act of a racer came to: the printed number and its row's id, or the code of its refusal."""

    number: str | None = None
    id: str | None = None
    code: str | None = None
    replayed: bool = False


def race(
    url: str,
    acts: Sequence[Sequence[Any]],
    *,
    clinics: Sequence[str] = ("north",),
    actors: Sequence[str] = (OPERATOR_LOGIN,),
    installed: bool = False,
    seconds: float = 120,
) -> list[list[Outcome]]:
    """Run each list of acts in a process of its own, all from the same moment on; return their outcomes in order.

    The processes take clinics and actors in turn. Shelf and desk are at work, or, with `installed`, the plugins that are installed.
    """
    _CONTEXT.set_forkserver_preload([__name__, "pytest"])
    settings = read_settings()  # of here and now: the server that makes the processes has the environment of its own start
    barrier = _CONTEXT.Barrier(len(acts))
    results = _CONTEXT.Queue()
    racers = [
        _CONTEXT.Process(
            target=_run,
            args=(
                _Racer(url, settings, clinics[place % len(clinics)], actors[place % len(actors)], installed),
                place,
                list(own),
                barrier,
                results,
            ),
        )
        for place, own in enumerate(acts)
    ]
    for racer in racers:
        racer.start()
    found: dict[int, list[Outcome]] = {}
    try:
        for _ in racers:
            place, outcomes = results.get(timeout=seconds)
            found[place] = outcomes
    finally:
        for racer in racers:
            racer.join(timeout=10)
            if racer.is_alive():
                racer.kill()
    return [found[place] for place in range(len(acts))]


@dataclass(frozen=True, slots=True)
class _Racer:
    """Where and as whom one process of a race acts."""

    url: str
    settings: Settings
    clinic: str
    actor: str
    installed: bool


def _run(racer: _Racer, place: int, acts: Sequence[Any], barrier: Any, results: Any) -> None:
    plugins = registry.load() if racer.installed else registry.of_modules({"shelf": Shelf(), "desk": Desk()})
    database = open_database(racer.url, plugins=plugins, settings=racer.settings)
    clinic, actor = racer.clinic, racer.actor
    database.read(lambda tx: tx.clinic_id, clinic=clinic, actor=actor)  # connected and warm before the start
    barrier.wait(timeout=60)
    outcomes = []
    for act in acts:
        try:
            made = database.run(act, clinic=clinic, actor=actor)
        except BillingError as error:
            outcomes.append(Outcome(code=error.code))
        else:
            number = made.receipt_number if hasattr(made, "receipt_number") else made.number
            outcomes.append(Outcome(number=number, id=made.id, replayed=getattr(made, "replayed", False)))
    results.put((place, outcomes))
    database.dispose()
