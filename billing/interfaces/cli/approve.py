"""`billing approve` and `billing approvals`: a second person's consent, under their own login."""

from typing import Any

import click

from billing.interfaces.cli.console import Console
from billing.interfaces.cli.options import list_options
from billing.interfaces.cli.units import show_act, show_list

COLUMNS = ["given_at", "given_by", "permission", "subject_id", "most", "reason", "used_by", "used_at", "id"]
PERMISSIONS = {
    "void": "payments.void",
    "refund": "payments.refund",
    "pay-out": "payments.refund",
    "write-off": "invoices.write_off",
    "discount": "discounts.approve",
}


@click.command()
@click.argument("what", type=click.Choice(list(PERMISSIONS)))
@click.argument("subject")
@click.option("--reason", required=True, help="Why; it is kept.")
@click.option("--most", metavar="AMOUNT", help="The most that it may be about; any amount without it.")
@click.pass_obj
def approve(console: Console, what: str, subject: str, reason: str, most: str | None) -> None:
    """Consent that somebody else does WHAT with SUBJECT, once and today.

    SUBJECT is a receipt for void, a client's id for pay-out, else an invoice.
    """
    from billing.money import parse_amount
    from billing.services import approvals, reading

    def unit(tx: Any) -> Any:
        subject_id = subject
        if what == "void":
            subject_id = reading.read_payment(tx, payment=subject).payment.id
        elif what != "pay-out":
            subject_id = reading.find_invoice_id(tx, subject)
        amount = None if most is None else parse_amount(most, tx.clinic.currency)
        return approvals.give_approval(tx, permission=PERMISSIONS[what], subject_id=subject_id, reason=reason, most_minor=amount)

    show_act(console, unit)


@click.command("approvals")
@list_options
@click.pass_obj
def list_(console: Console, limit: int, everything: bool) -> None:
    """List approvals, latest first, and who has used them."""
    from billing.services import approvals

    def fetch(tx: Any, limit: int, after: Any) -> Any:
        return approvals.list_approvals(tx, limit=limit, after=after)

    show_list(console, fetch, columns=COLUMNS, limit=limit, everything=everything, place=lambda row: row)
