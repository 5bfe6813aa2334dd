"""`billing patient`: those who are cared for, people and animals."""

from typing import Any

import click

from billing.interfaces.cli.console import Console
from billing.interfaces.cli.options import DAY, list_options
from billing.interfaces.cli.units import show_act, show_list, show_one, show_rows

COLUMNS = ["name", "kind", "species", "sex", "birth_date", "client_name", "client_phone", "id"]
SEX = click.Choice(["female", "male", "other", "unknown"])


@click.group()
def patient() -> None:
    """Those who are cared for."""


@patient.command()
@click.option("--name", required=True)
@click.option("--kind", type=click.Choice(["person", "animal"]), help="A person, unless a species is named.")
@click.option("--client", "client_id", metavar="ID", help="Who pays; a person without one pays in person.")
@click.option("--sex", type=SEX, default="unknown", show_default=True)
@click.option("--birth-date", type=DAY)
@click.option("--species", help="Of an animal, such as dog.")
@click.option("--breed", help="Of an animal.")
@click.option("--source", help="Where the patient comes from, such as another system's id.")
@click.pass_obj
def add(console: Console, /, kind: str | None, species: str | None, **given: Any) -> None:
    """Add a patient."""
    from billing.services import patients

    chosen = kind or ("animal" if species else "person")
    show_act(console, lambda tx: patients.add_patient(tx, kind="animal" if chosen == "animal" else "person", species=species, **given))


@patient.command("list")
@click.option("--client", "client_id", metavar="ID", help="Only this client's.")
@list_options
@click.pass_obj
def list_(console: Console, client_id: str | None, limit: int, everything: bool) -> None:
    """List the patients, by name."""
    from billing.services import patients

    show_list(
        console,
        lambda tx, limit, after: patients.list_patients(tx, client_id=client_id, limit=limit, after=after),
        columns=COLUMNS,
        limit=limit,
        everything=everything,
    )


@patient.command()
@click.argument("text")
@click.option("--limit", type=click.IntRange(1, 500), default=20, show_default=True, help="At most so many.")
@click.pass_obj
def find(console: Console, text: str, limit: int) -> None:
    """Find patients by how a word of their name, or their client's, or the phone number begins."""
    from billing.services import patients

    show_rows(console, lambda tx: patients.find_patients(tx, text=text, limit=limit), columns=COLUMNS)


@patient.command()
@click.argument("patient_id", metavar="ID")
@click.pass_obj
def show(console: Console, patient_id: str) -> None:
    """Show a patient."""
    from billing.services import patients

    show_one(console, lambda tx: patients.read_patient(tx, patient_id=patient_id))


@patient.command("set")
@click.argument("patient_id", metavar="ID")
@click.option("--name")
@click.option("--client", "client_id", metavar="ID", help="Who pays from now on.")
@click.option("--sex", type=SEX)
@click.option("--birth-date", type=DAY)
@click.option("--species")
@click.option("--breed")
@click.pass_obj
def set_(console: Console, /, patient_id: str, **given: Any) -> None:
    """Change a patient."""
    from billing.services import patients

    changes = {name: value for name, value in given.items() if value is not None}
    if not changes:
        raise click.UsageError("Name at least one thing to change.")
    show_act(console, lambda tx: patients.update_patient(tx, patient_id=patient_id, changes=changes))
