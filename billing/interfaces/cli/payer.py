"""`billing payer`, `coverage` and `claim`: who pays for clients, what they cover, and what they are asked for."""

from datetime import date

import click

from billing.interfaces.cli.console import Console
from billing.interfaces.cli.options import DAY, list_options, pairs
from billing.interfaces.cli.units import show_act, show_list, show_rows
from billing.money import parse_amount, parse_rate

PAYERS = ["code", "name", "kind", "active", "id"]
COVERAGES = ["id", "client_id", "patient_id", "policy_number", "percent_bp", "from_date", "until_date", "active"]
CLAIMS = ["id", "payer", "invoice_number", "issue_date", "status", "amount", "paid", "rejected"]


@click.group()
def payer() -> None:
    """Insurers and companies that answer for a part of clients' bills."""


@payer.command("add")
@click.argument("code")
@click.option("--name", required=True)
@click.option("--kind", type=click.Choice(["insurer", "company"]), default="insurer", show_default=True)
@click.pass_obj
def add_payer(console: Console, code: str, name: str, kind: str) -> None:
    """Add the payer CODE."""
    from billing.services import payers

    show_act(console, lambda tx: payers.add_payer(tx, code=code, name=name, kind=kind))


@payer.command("list")
@click.pass_obj
def list_payers(console: Console) -> None:
    """List the payers."""
    from billing.services import payers

    show_rows(console, payers.list_payers, columns=PAYERS)


@payer.command("set")
@click.argument("code")
@click.option("--active/--inactive", required=True, help="Whether it can be used from now on.")
@click.pass_obj
def set_payer(console: Console, code: str, *, active: bool) -> None:
    """Let the payer CODE be used, or not any more."""
    from billing.services import payers

    show_act(console, lambda tx: payers.set_payer_active(tx, payer=code, active=active))


@click.group()
def coverage() -> None:
    """What payers cover of whose bills."""


@coverage.command("add")
@click.argument("payer")
@click.option("--client", "client_id", required=True, metavar="ID")
@click.option("--patient", "patient_id", metavar="ID", help="Of this patient only.")
@click.option("--percent", required=True, metavar="PERCENT", help="Of each item, such as 80.")
@click.option("--policy-number", default="", metavar="TEXT")
@click.option("--item-copay", default="0", metavar="AMOUNT", help="What the client pays of each item first.")
@click.option("--visit-copay", default="0", metavar="AMOUNT", help="What the client pays of each bill first.")
@click.option("--visit-cap", metavar="AMOUNT", help="The most for one bill.")
@click.option("--year-cap", metavar="AMOUNT", help="The most for a year.")
@click.option("--from", "from_date", type=DAY, help="[default: today]")
@click.option("--until", "until_date", type=DAY, help="The first day that is not covered.")
@click.pass_obj
def add_coverage(
    console: Console,
    payer: str,
    client_id: str,
    patient_id: str | None,
    percent: str,
    policy_number: str,
    item_copay: str,
    visit_copay: str,
    visit_cap: str | None,
    year_cap: str | None,
    from_date: date | None,
    until_date: date | None,
) -> None:
    """Say what PAYER (code or id) covers of a client's bills."""
    from billing.services import payers

    show_act(
        console,
        lambda tx: payers.add_coverage(
            tx,
            payer=payer,
            client_id=client_id,
            patient_id=patient_id,
            policy_number=policy_number,
            percent_bp=parse_rate(percent),
            item_copay_minor=parse_amount(item_copay, tx.clinic.currency),
            visit_copay_minor=parse_amount(visit_copay, tx.clinic.currency),
            visit_cap_minor=None if visit_cap is None else parse_amount(visit_cap, tx.clinic.currency),
            year_cap_minor=None if year_cap is None else parse_amount(year_cap, tx.clinic.currency),
            from_date=from_date,
            until_date=until_date,
        ),
    )


@coverage.command("list")
@click.option("--client", "client_id", metavar="ID", help="Of this client only.")
@list_options
@click.pass_obj
def list_coverages(console: Console, client_id: str | None, limit: int, everything: bool) -> None:
    """List what is covered."""
    from billing.services import payers

    show_list(
        console,
        lambda tx, limit, after: payers.list_coverages(tx, client_id=client_id, limit=limit, after=after),
        columns=COVERAGES,
        limit=limit,
        everything=everything,
        place=lambda row: row,
    )


@coverage.command("end")
@click.argument("coverage_id", metavar="ID")
@click.pass_obj
def end_coverage(console: Console, coverage_id: str) -> None:
    """End a coverage today; what it covers already stays covered."""
    from billing.services import payers

    show_act(console, lambda tx: payers.end_coverage(tx, coverage_id=coverage_id))


@click.command()
@click.argument("invoice")
@click.option("--coverage", "coverage_id", metavar="ID", help="By the terms of this coverage.")
@click.option("--payer", metavar="CODE", help="A payer, for an exact --amount.")
@click.option("--amount", metavar="AMOUNT")
@click.option("--none", "nobody", is_flag=True, help="Take the payer off a draft.")
@click.pass_obj
def cover(console: Console, invoice: str, coverage_id: str | None, payer: str | None, amount: str | None, nobody: bool) -> None:
    """Put a payer on INVOICE (number or id): its part is the payer's, the rest the client's."""
    from billing.services import covering, reading

    if (coverage_id is not None) + (payer is not None) + nobody != 1 or (payer is None) != (amount is None):
        raise click.UsageError("Name --coverage, or --payer with --amount, or --none.")

    def wanted(currency: object) -> covering.Cover | None:
        if nobody:
            return None
        minor = None if amount is None else parse_amount(amount, currency)  # type: ignore[arg-type]
        return covering.Cover(coverage_id=coverage_id, payer=payer, amount_minor=minor)

    show_act(
        console,
        lambda tx: covering.cover_invoice(tx, invoice_id=reading.find_invoice_id(tx, invoice), cover=wanted(tx.clinic.currency)),
    )


@click.group()
def claim() -> None:
    """What payers are asked for, have paid, and have rejected."""


@claim.command("list")
@click.option("--payer", metavar="CODE", help="On this payer only.")
@click.option("--open", "only_open", is_flag=True, help="Only those that are not settled.")
@list_options
@click.pass_obj
def list_claims(console: Console, payer: str | None, only_open: bool, limit: int, everything: bool) -> None:
    """List the claims, oldest first."""
    from billing.services import claims

    show_list(
        console,
        lambda tx, limit, after: claims.list_claims(tx, payer=payer, only_open=only_open, limit=limit, after=after),
        columns=CLAIMS,
        limit=limit,
        everything=everything,
        place=lambda row: row,
    )


@claim.command()
@click.argument("payer")
@click.option("--claim", "claim_ids", multiple=True, metavar="ID", help="Only these. [default: all that are open]")
@click.pass_obj
def submit(console: Console, payer: str, claim_ids: tuple[str, ...]) -> None:
    """Note that claims on PAYER have been sent."""
    from billing.services import claims

    sent = console.run(lambda tx: claims.submit_claims(tx, payer=payer, claim_ids=claim_ids or None))
    console.show([{"claim": each} for each in sent], columns=["claim"])


@claim.command()
@click.argument("payer")
@click.argument("amount")
@click.option("--reference", required=True, help="What the transfer says.")
@click.option("--part", "parts", multiple=True, metavar="CLAIM=AMOUNT", help="What it is for. [default: the oldest claims first]")
@click.option("--method", default="transfer", show_default=True)
@click.option("--key", help="Idempotency key: the same money under it is booked once.")
@click.pass_obj
def pay(console: Console, payer: str, amount: str, reference: str, parts: tuple[str, ...], method: str, key: str | None) -> None:
    """Book AMOUNT from PAYER, for one claim or for many."""
    from billing.services import claims

    show_act(
        console,
        lambda tx: claims.pay_claims(
            tx,
            payer=payer,
            amount_minor=parse_amount(amount, tx.clinic.currency),
            reference=reference,
            method=method,
            parts={name: parse_amount(text, tx.clinic.currency) for name, text in pairs(parts, "--part").items()} or None,
            key=key,
        ),
    )


@claim.command()
@click.argument("claim_id", metavar="CLAIM")
@click.option("--reason", required=True)
@click.option("--amount", metavar="AMOUNT", help="A part of it. [default: all that is open]")
@click.pass_obj
def reject(console: Console, claim_id: str, reason: str, amount: str | None) -> None:
    """Note that a payer will not pay a claim: the client owes it from now on."""
    from billing.services import claims

    show_act(
        console,
        lambda tx: claims.reject_claim(
            tx, claim_id=claim_id, reason=reason, amount_minor=None if amount is None else parse_amount(amount, tx.clinic.currency)
        ),
    )
