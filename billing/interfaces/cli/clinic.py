"""`billing clinic`: found clinics, show and change them, order their departments, set their policy."""

from typing import TYPE_CHECKING, Any

import click

from billing.interfaces.cli.console import Console
from billing.interfaces.cli.options import pairs, parse_value

if TYPE_CHECKING:
    from billing.transaction import ClinicFacts

COLUMNS = ["code", "name", "currency", "time_zone", "language"]


@click.group()
def clinic() -> None:
    """Clinics, their policy and the order of their departments."""


@clinic.command()
@click.option("--code", required=True, help="Its short code, such as north; it stays for ever.")
@click.option("--name", required=True, help="Its name, as documents show it.")
@click.option("--currency", required=True, metavar="CODE", help="ISO 4217, such as EUR; it stays for ever.")
@click.option("--time-zone", required=True, metavar="ZONE", help="IANA, such as Europe/Berlin.")
@click.option("--language", default="en", show_default=True, help="Of its documents, such as de or fr_CH.")
@click.option("--rounding", type=click.Choice(["document", "line"]), default="document", help="Where tax is rounded.")
@click.option("--prices-include-tax", is_flag=True, help="Its price list holds prices with tax.")
@click.option("--payment-days", type=int, default=14, show_default=True, help="Until an invoice is due.")
@click.option("--address", default="", help="As documents show it.")
@click.option("--tax-number", default="", help="As documents show it.")
@click.option("--policy", "policies", multiple=True, metavar="NAME=VALUE", help="A policy, as `billing clinic policy` sets it.")
@click.pass_obj
def create(console: Console, /, currency: str, rounding: str, policies: tuple[str, ...], **given: Any) -> None:
    """Found a clinic: all healthy plugins at work, no tax, its number series ready. It can take money at once."""
    from billing.rules.totals import Rounding
    from billing.services import clinics

    policy = _policy(policies)
    made = console.run_outside(
        lambda tx: clinics.create_clinic(tx, currency_code=currency, rounding=Rounding(rounding), policy=policy, **given)
    )
    if console.wants_json:
        console.show(_fields(made))
    console.say(f"The clinic {made.code} is ready: {made.name}, {made.currency.code}, {made.time_zone}.")


@clinic.command("list")
@click.pass_obj
def list_(console: Console) -> None:
    """List the clinics that you can see."""
    from dataclasses import asdict

    from billing.services import clinics

    console.show([asdict(each) for each in console.read_outside(clinics.list_clinics)], columns=COLUMNS)


@clinic.command()
@click.pass_obj
def show(console: Console) -> None:
    """Show a clinic with its policy, departments, number series and plugins at work."""
    console.show(console.read(lambda tx: _fields(tx.clinic)))


@clinic.command("set")
@click.option("--name")
@click.option("--address")
@click.option("--tax-number")
@click.option("--language")
@click.option("--time-zone", metavar="ZONE")
@click.option("--rounding", type=click.Choice(["document", "line"]))
@click.option("--prices-include-tax/--prices-without-tax", default=None)
@click.option("--payment-days", type=int)
@click.pass_obj
def set_(console: Console, /, **given: Any) -> None:
    """Change a clinic. What is issued keeps what it was issued with; code and currency stay."""
    from billing.services import clinics

    changes = {name: value for name, value in given.items() if value is not None}
    if not changes:
        raise click.UsageError("Name at least one thing to change.")
    console.run(lambda tx: clinics.update_clinic(tx, changes=changes))
    console.show(changes)


@clinic.command()
@click.argument("codes", nargs=-1)
@click.pass_obj
def departments(console: Console, codes: tuple[str, ...]) -> None:
    """Show the departments, or put CODES first, in this order: so they are shown and settled."""
    from billing.services import clinics

    if codes:
        console.run(lambda tx: clinics.order_departments(tx, codes=codes))
    console.show(console.read(lambda tx: _fields(tx.clinic)["departments"]), columns=["position", "code", "name", "plugin"])


@clinic.command()
@click.argument("policies", nargs=-1, metavar="[NAME=VALUE]...")
@click.pass_obj
def policy(console: Console, policies: tuple[str, ...]) -> None:
    """Show the clinic's policy, or set parts of it, such as numbers_at=issue."""
    from billing.services import clinics

    if policies:
        changes = {"policy": _policy(policies)}
        console.run(lambda tx: clinics.update_clinic(tx, changes=changes))
    console.show(console.read(lambda tx: dict(tx.clinic.policy)))


def _policy(texts: tuple[str, ...]) -> dict[str, Any]:
    return {name: parse_value(value) for name, value in pairs(texts, "the policy").items()}


def _fields(facts: "ClinicFacts") -> dict[str, Any]:
    return {
        "code": facts.code,
        "name": facts.name,
        "currency": facts.currency.code,
        "time_zone": facts.time_zone,
        "language": facts.language,
        "rounding": facts.rounding,
        "prices_include_tax": facts.prices_include_tax,
        "payment_days": facts.payment_days,
        "address": facts.address,
        "tax_number": facts.tax_number,
        "policy": dict(facts.policy),
        "departments": [
            {"position": at, "code": each.code, "name": each.name, "plugin": each.plugin}
            for at, each in enumerate(facts.departments, start=1)
        ],
        "series": [
            {"series": each.series, "kind": each.kind, "format": each.format, "reset": each.reset, "standard": each.standard}
            for each in facts.series
        ],
        "plugins": sorted(facts.settings),
    }
