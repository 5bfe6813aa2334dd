"""`billing lab`: what the laboratory does, from the command line. Parses, runs one unit, prints; it decides nothing."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import click

from billing.plugin import Console, local
from billing_laboratory import catalogue, queries, services
from billing_laboratory.rules import OrderStatus, Range, ValueKind, read_age

_SHORT = 8

_analyte = click.argument("analyte", metavar="ANALYTE")
_order = click.argument("order", metavar="ORDER")


@click.group()
def lab() -> None:
    """Laboratory: tests, orders, results.

    ORDER is an order's id or the end of it, at least 8 characters. ANALYTE is a LOINC code such as 718-7.
    """


@lab.group()
def test() -> None:
    """Tests and panels: what a service of the price list orders."""


@lab.group()
def analyte() -> None:
    """Analytes: what can be measured."""


@lab.group("range")
def reference_range() -> None:
    """Reference ranges: what is normal, and what critical, for whom."""


# --- what the laboratory can do -----------------------------------------------------------------------------------------------------


@test.command("add")
@click.argument("service", metavar="SERVICE")
@click.option("--loinc", required=True, help="LOINC code of the test or panel.")
@click.option("--name", default="", help="Name on reports; as on the price list unless given.")
@click.option("--specimen", required=True, help="What is taken from the patient, such as serum.")
@click.option(
    "--analyte", "analytes", multiple=True, help="LOINC code of an analyte, in the order of the report; its own code unless given."
)
@click.pass_obj
def add_test(console: Console, service: str, loinc: str, name: str, specimen: str, analytes: Sequence[str]) -> None:
    """Make SERVICE, a code of the price list, order a test."""
    added = console.run(
        lambda tx: catalogue.add_test(tx, service_code=service, loinc=loinc, name=name, specimen=specimen, analytes=analytes)
    )
    console.show({"service": service, "loinc": loinc, "id": added})


@test.command("list")
@click.pass_obj
def list_tests(console: Console) -> None:
    """List the tests."""
    rows = [asdict(row) | {"analytes": list(row.analytes)} for row in console.read(catalogue.list_tests)]
    console.show(rows, columns=["service", "loinc", "name", "specimen", "analytes", "active"])


@test.command("retire")
@click.argument("service", metavar="SERVICE")
@click.pass_obj
def retire_test(console: Console, service: str) -> None:
    """Take the test of SERVICE out of use."""
    console.run(lambda tx: catalogue.retire_test(tx, service_code=service))
    console.show({"service": service, "active": False})


@analyte.command("add")
@click.argument("loinc", metavar="LOINC")
@click.option("--name", required=True, help="Name on reports.")
@click.option("--unit", default="", help="Unit of the values, such as mmol/L.")
@click.option("--kind", type=click.Choice([str(each) for each in ValueKind]), default=str(ValueKind.NUMERIC), show_default=True)
@click.option("--decimals", type=click.IntRange(0, 9), help="At most so many decimals may be entered.")
@click.pass_obj
def add_analyte(console: Console, loinc: str, name: str, unit: str, kind: str, decimals: int | None) -> None:
    """Add what can be measured."""
    added = console.run(lambda tx: catalogue.add_analyte(tx, loinc=loinc, name=name, unit=unit, value_kind=kind, decimals=decimals))
    console.show({"loinc": loinc, "id": added})


@analyte.command("list")
@click.pass_obj
def list_analytes(console: Console) -> None:
    """List the analytes."""
    rows = [asdict(row) for row in console.read(catalogue.list_analytes)]
    console.show(rows, columns=["loinc", "name", "unit", "value_kind", "decimals"])


@reference_range.command("add")
@_analyte
@click.option("--low", help="Lowest normal value.")
@click.option("--high", help="Highest normal value.")
@click.option("--critical-low", help="Below this value, a result is critical.")
@click.option("--critical-high", help="Above this value, a result is critical.")
@click.option("--normal", "normal_text", help="The normal finding, for an analyte that is reported in words.")
@click.option("--sex", type=click.Choice(["female", "male"]), help="Only for this sex.")
@click.option("--species", help="For animals of this species; for people unless given.")
@click.option("--age-from", default="0d", show_default=True, help="From this age on: 14d, 6w, 3m or 18y.")
@click.option("--age-until", help="Up to this age, excluded.")
@click.pass_obj
def add_range(console: Console, /, analyte: str, age_from: str, age_until: str | None, **limits: Any) -> None:
    """Add a reference range; the first that fits best applies."""
    until = None if age_until is None else read_age(age_until)
    wanted = Range(age_from_days=read_age(age_from), age_until_days=until, **limits)
    added = console.run(lambda tx: catalogue.add_range(tx, analyte_code=analyte, limits=wanted))
    console.show({"analyte": analyte, "id": added})


@reference_range.command("list")
@click.argument("analyte", required=False)
@click.pass_obj
def list_ranges(console: Console, analyte: str | None) -> None:
    """List the reference ranges, of one ANALYTE or of all. Ages are in days, the second excluded."""
    rows = [asdict(row) for row in console.read(lambda tx: catalogue.list_ranges(tx, analyte_code=analyte))]
    ages = ["age_from_days", "age_until_days"]
    console.show(rows, columns=["analyte", "name", "species", "sex", *ages, "normal", "critical_low", "critical_high", "id"])


@reference_range.command("retire")
@click.argument("range_id", metavar="ID")
@click.pass_obj
def retire_range(console: Console, range_id: str) -> None:
    """Stop judging results by the range with this id."""
    console.run(lambda tx: catalogue.retire_range(tx, range_id=range_id))
    console.show({"id": range_id, "active": False})


# --- the work -----------------------------------------------------------------------------------------------------------------------


@lab.command()
@click.option(
    "--status", "statuses", multiple=True, type=click.Choice([str(each) for each in OrderStatus]), help="Only orders in this state."
)
@click.option("--limit", type=click.IntRange(1, 10_000), default=queries.MOST_LISTED, show_default=True)
@click.pass_obj
def worklist(console: Console, statuses: Sequence[str], limit: int) -> None:
    """List the orders in which something waits to be entered or verified."""

    def unit(tx: Any) -> list[dict[str, Any]]:
        zone = tx.clinic.time_zone
        return [
            {"order": row.id[-_SHORT:], **asdict(row), "ordered_at": local(row.ordered_at, zone).isoformat(timespec="minutes")}
            for row in queries.worklist(tx, statuses=statuses, limit=limit)
        ]

    shown = ["order", "ordered_at", "status", "code", "test", "specimen", "patient", "species", "to_enter", "to_verify"]
    console.show(console.read(unit), columns=shown)


@lab.command()
@_order
@click.pass_obj
def collect(console: Console, order: str) -> None:
    """Note that the specimen of ORDER was taken."""
    _step(console, order, services.collect_order)


@lab.command()
@_order
@click.pass_obj
def receive(console: Console, order: str) -> None:
    """Note that the specimen of ORDER has arrived in the laboratory."""
    _step(console, order, services.receive_order)


@lab.command(context_settings={"ignore_unknown_options": True})  # a value may be below zero
@_order
@_analyte
@click.argument("value")
@click.pass_obj
def enter(console: Console, order: str, analyte: str, value: str) -> None:
    """Enter the VALUE of an analyte, to be verified by somebody else."""
    _step(console, order, services.enter_result, analyte_code=analyte, value=value)


@lab.command()
@_order
@_analyte
@click.pass_obj
def verify(console: Console, order: str, analyte: str) -> None:
    """Verify a value that somebody else has entered."""
    _step(console, order, services.verify_result, analyte_code=analyte)


@lab.command(context_settings={"ignore_unknown_options": True})
@_order
@_analyte
@click.argument("value")
@click.option("--reason", required=True, help="Why the verified value is corrected.")
@click.pass_obj
def amend(console: Console, order: str, analyte: str, value: str, reason: str) -> None:
    """Enter another VALUE for a verified one; the old one stays, and stands until somebody else verifies the new one."""
    _step(console, order, services.amend_result, analyte_code=analyte, value=value, reason=reason)


@lab.command()
@_order
@click.pass_obj
def report(console: Console, order: str) -> None:
    """Print the report of ORDER, with flags and reference ranges."""
    found = console.read(lambda tx: queries.report(tx, order_id=queries.find_order(tx, name=order)))
    for line in found.header:
        console.say(line)
    console.show([asdict(line) for line in found.lines], columns=["analyte", "value", "unit", "flag", "range", "status", "measured_at"])
    for note in found.notes:
        console.say(note)


def _step(console: Console, order: str, verb: Callable[..., services.Progress], **given: str) -> None:
    """Run a verb on the order of this name and show how the order stands."""
    progress = console.run(lambda tx: verb(tx, order_id=queries.find_order(tx, name=order), **given))
    console.show({name: value for name, value in asdict(progress).items() if value is not None})
