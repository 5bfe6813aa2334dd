"""`billing demo`: a small clinic in a database of its own, a day at its till, and what that left. It touches no other database."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from billing.errors import Invalid
from billing.interfaces.cli import render
from billing.interfaces.cli.console import Console

if TYPE_CHECKING:
    from billing.interfaces.cli.demo_day import Day
    from billing.services.demo import DemoVisit
    from billing.services.doctor import Report
    from billing.transaction import Transaction

T = TypeVar("T")

INVOICES = ["number", "patient", "status", "total", "amount_paid", "amount_due"]
EFFECTS = ["plugin", "item", "effect", "quantity"]
LISTS = ("list", "worklist")
"""What a group of commands of a plugin calls the list that is shown at the end."""


class FileExists(Invalid):
    """The file for the demonstration's database stands already. Facts: `path`."""

    code = "file_exists"


@click.command()
@click.option("--keep", type=click.Path(path_type=Path), metavar="FILE", help="Keep the database in this new file, to look around in it.")
@click.pass_context
def demo(context: click.Context, keep: Path | None) -> None:
    """Build a small clinic of people and animals and run a day through its till. Your own database is not touched."""
    console: Console = context.obj
    with _place(keep) as path:
        _open(console, path)
        from billing.interfaces.cli.demo_day import Day
        from billing.interfaces.cli.demo_desk import MoneyDesk
        from billing.services.demo import build_clinic

        console.say("A clinic of people and animals, made just now. Whoever was seen today has a bill; now they come to the till.")
        visits = build_clinic(console.database)
        day = Day(console, console.read(lambda tx: tx.clinic.currency))
        desk = MoneyDesk(day)
        desk.open(visits)
        day.run(visits)
        desk.afterwards()
        desk.close()
        healthy = _show_what_is_left(console, day, visits)
        console.close()
    if keep is not None:
        console.say(f"\nThe database stays: billing --database sqlite:///{keep} invoice list")
    if not healthy:
        context.exit(1)


@contextmanager
def _place(keep: Path | None) -> Iterator[Path]:
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="billing-demo-") as folder:
            yield Path(folder) / "demo.sqlite3"
        return
    if keep.exists():
        raise FileExists(f"{keep} is there already: name a new file.", path=str(keep))
    yield keep


def _open(console: Console, path: Path) -> None:
    """Point the command's console at a new database, whatever the environment or the command line named."""
    from billing import migrations
    from billing.services.demo import CLINIC
    from billing.services.setup import OPERATOR_LOGIN

    console.choose("database_url", f"sqlite:///{path}")
    console.choose("clinic", CLINIC)
    console.choose("login", OPERATOR_LOGIN)
    migrations.upgrade(console.settings.database_url, registry=console.registry, settings=console.settings)


def _show_what_is_left(console: Console, day: "Day", visits: Sequence["DemoVisit"]) -> bool:
    """Show invoices, what one payment did, its receipt, the plugins' lists, and what the doctor says; return whether that is good."""
    from billing.services import doctor

    example = max(day.taken, key=lambda taken: (taken.change_minor > 0, len(taken.items)))
    invoices, effects, receipt = _invoices(console, day, visits), _effects(console, example.id), _receipt(console, example.id)
    lists = _lists(console)
    report = console.read(doctor.examine)
    if console.wants_json:
        shown = {"clinic": console.clinic, "currency": day.currency.code, "till": day.steps, "invoices": invoices, "effects": effects}
        found = {each.command: each.rows for each in lists}
        console.show({**shown, "receipt": receipt, "lists": found, "doctor": {"healthy": report.healthy, "checks": len(report.checks)}})
        return report.healthy
    _title(console, "The invoices at the end of the day")
    console.show(invoices, columns=INVOICES)
    _title(console, f"What the departments did in the transaction of {example.receipt_number}")
    console.show(effects, columns=EFFECTS)
    _title(console, f"The receipt {example.receipt_number}")
    console.out(receipt.rstrip())
    for each in lists:
        _title(console, f"billing {each.command}")
        console.show(each.rows, columns=each.columns)
    _title(console, "billing doctor")
    _tell_doctor(console, report)
    return report.healthy


def _invoices(console: Console, day: "Day", visits: Sequence["DemoVisit"]) -> list[dict[str, Any]]:
    from billing.services.listing import list_invoices

    patients = {visit.invoice_id: visit.patient for visit in visits}
    rows = console.read(list_invoices)
    return [{**render.fields(row, day.currency), "patient": patients[row.id]} for row in reversed(rows)]


def _effects(console: Console, payment_id: str) -> list[dict[str, Any]]:
    from billing.money import format_quantity
    from billing.services import reading

    seen = console.read(lambda tx: reading.read_payment(tx, payment=payment_id))
    items = {item.id: item.description for item in seen.items}
    return [
        {"plugin": each.plugin, "item": items[each.item_id], "effect": each.kind, "quantity": format_quantity(each.quantity_milli)}
        for each in seen.effects
    ]


def _receipt(console: Console, payment_id: str) -> str:
    from billing.services.documents import print_receipt

    return console.run(lambda tx: print_receipt(tx, payment_id=payment_id, form="text")).content


@dataclass(frozen=True, slots=True)
class _Listed:
    """What a command of a plugin would show."""

    command: str
    rows: Any
    columns: Sequence[str] | None


class _Overhearing:
    """A console that keeps what a command of a plugin would show."""

    def __init__(self, console: Console, command: str, heard: list[_Listed]) -> None:
        self._console = console
        self._command = command
        self._heard = heard

    def run(self, unit: "Callable[[Transaction], T]") -> T:
        """Run one unit of work and commit it."""
        return self._console.run(unit)

    def read(self, unit: "Callable[[Transaction], T]") -> T:
        """Run one unit that only reads."""
        return self._console.read(unit)

    def show(self, data: Any, *, columns: Sequence[str] | None = None) -> None:
        """Keep it."""
        self._heard.append(_Listed(self._command, data, columns))

    def say(self, sentence: str) -> None:
        """Let it pass."""


def _lists(console: Console) -> list[_Listed]:
    """Run each plugin's commands that list what it has, or has to do."""
    heard: list[_Listed] = []
    for plugin in console.registry.healthy:
        collected = click.Group()
        console.registry.register_commands(plugin, collected)
        for name, group in collected.commands.items():
            for listing in LISTS:
                if isinstance(group, click.Group) and listing in group.commands:
                    overhearing = _Overhearing(console, f"{name} {listing}", heard)
                    group.commands[listing].main([], standalone_mode=False, obj=overhearing)
    return heard


def _tell_doctor(console: Console, report: "Report") -> None:
    console.say(f"{len(report.checks)} checks of all books: {'everything is as it must be' if report.healthy else 'something is wrong'}.")
    for check in report.broken:
        console.say(f"  {check.name}: {check.sentence}")


def _title(console: Console, title: str) -> None:
    console.say(f"\n{title}\n")
