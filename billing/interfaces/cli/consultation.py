"""`billing consultation`: visits planned, opened, closed and cancelled."""

from datetime import date, datetime

import click

from billing.interfaces.cli.console import Console
from billing.interfaces.cli.options import DAY, MOMENT, in_zone, list_options
from billing.interfaces.cli.units import show_act, show_list, show_one

COLUMNS = ["at", "status", "kind", "patient_name", "provider_name", "id"]


@click.group()
def consultation() -> None:
    """Visits of patients to providers."""


@consultation.command()
@click.option("--patient", "patient_id", metavar="ID", required=True)
@click.option("--provider", metavar="NAME", required=True, help="By name, login or id.")
@click.option("--at", "planned_at", type=MOMENT, required=True, help="Such as 2027-01-31T09:30, at the clinic's clocks.")
@click.option("--kind", default="visit", show_default=True, help="The kind of visit: fees may depend on it.")
@click.option("--source", help="Where it comes from, such as another system's id.")
@click.pass_obj
def plan(console: Console, patient_id: str, provider: str, planned_at: datetime, kind: str, source: str | None) -> None:
    """Plan a visit."""
    from billing.services import consultations, staff

    show_act(
        console,
        lambda tx: consultations.plan_consultation(
            tx,
            patient_id=patient_id,
            provider_id=staff.find_provider(tx, provider).id,
            planned_at=in_zone(planned_at, tx.clinic.time_zone),
            kind=kind,
            source=source,
        ),
    )


@consultation.command("open")
@click.argument("consultation_id", metavar="[ID]", required=False)
@click.option("--patient", "patient_id", metavar="ID", help="Of a visit that was not planned.")
@click.option("--provider", metavar="NAME", help="By name, login or id.")
@click.option("--kind", default="visit", show_default=True, help="The kind of visit: fees may depend on it.")
@click.option("--source", help="Where it comes from, such as another system's id.")
@click.pass_obj
def open_(
    console: Console, consultation_id: str | None, patient_id: str | None, provider: str | None, kind: str, source: str | None
) -> None:
    """Open a visit: a planned one by its ID, or a new one for --patient and --provider."""
    from billing.services import consultations, staff

    if consultation_id is not None:
        planned = consultation_id
        show_act(console, lambda tx: consultations.open_planned_consultation(tx, consultation_id=planned))
        return
    if patient_id is None or provider is None:
        raise click.UsageError("Name the ID of a planned visit, or --patient and --provider for a new one.")
    show_act(
        console,
        lambda tx: consultations.open_consultation(
            tx, patient_id=patient_id, provider_id=staff.find_provider(tx, provider).id, kind=kind, source=source
        ),
    )


@consultation.command()
@click.argument("consultation_id", metavar="ID")
@click.pass_obj
def close(console: Console, consultation_id: str) -> None:
    """Close an open visit; it stays closed."""
    from billing.services import consultations

    show_act(console, lambda tx: consultations.close_consultation(tx, consultation_id=consultation_id))


@consultation.command()
@click.argument("consultation_id", metavar="ID")
@click.option("--reason", required=True)
@click.pass_obj
def cancel(console: Console, consultation_id: str, reason: str) -> None:
    """Cancel a visit that is not closed and not billed."""
    from billing.services import consultations

    show_act(console, lambda tx: consultations.cancel_consultation(tx, consultation_id=consultation_id, reason=reason))


@consultation.command("list")
@click.option("--status", type=click.Choice(["planned", "open", "closed", "cancelled"]))
@click.option("--patient", "patient_id", metavar="ID", help="Only this patient's.")
@click.option("--provider", metavar="NAME", help="Only this provider's.")
@click.option("--on", "day", type=DAY, help="Only of this day.")
@list_options
@click.pass_obj
def list_(
    console: Console, status: str | None, patient_id: str | None, provider: str | None, day: date | None, limit: int, everything: bool
) -> None:
    """List visits, in the order in which they are or were."""
    from billing.services import consultations, staff

    show_list(
        console,
        lambda tx, limit, after: consultations.list_consultations(
            tx,
            status=status,
            patient_id=patient_id,
            provider_id=staff.find_provider(tx, provider).id if provider else None,
            on=day,
            limit=limit,
            after=after,
        ),
        columns=COLUMNS,
        limit=limit,
        everything=everything,
    )


@consultation.command()
@click.argument("consultation_id", metavar="ID")
@click.pass_obj
def show(console: Console, consultation_id: str) -> None:
    """Show a visit."""
    from billing.services import consultations

    show_one(console, lambda tx: consultations.read_consultation(tx, consultation_id=consultation_id))
