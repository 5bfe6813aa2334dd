"""`billing fee`: the fees of visits, what is agreed with providers, and their shares. It parses and prints; services.py does."""

from datetime import date, datetime
from typing import Any

import click

from billing.plugin import Console, Currency, format_amount, format_unit_price, parse_unit_price
from billing_consultation.rules import AgreedTerms, share_bp_of

DAY = click.DateTime(formats=["%Y-%m-%d"])


@click.group()
def fee() -> None:
    """Fees of visits, follow-ups, and providers' shares."""


@fee.command("visit")
@click.argument("service")
@click.option("--follow-up/--no-follow-up", default=True, help="Whether it opens follow-up windows and is covered by them.")
@click.pass_obj
def mark_visit(console: Console, service: str, follow_up: bool) -> None:
    """Mark a SERVICE of the price list as a visit, so that fees and follow-ups apply to it."""
    from billing_consultation import services

    console.run(lambda tx: services.mark_visit(tx, service=service, follow_up=follow_up))
    console.say(f"{service} is a visit{'' if follow_up else ' that takes no part in follow-ups'}.")


@fee.command("set")
@click.option("--service", required=True, metavar="CODE", help="A service that is marked as a visit.")
@click.option("--provider", metavar="NAME", help="For visits to this provider; for all if not given.")
@click.option("--kind", default="", help="For visits of this kind; for all if not given.")
@click.option("--price", required=True, help="For one visit, such as 45.00.")
@click.option("--from", "from_day", type=DAY, help="The first day; today if not given.")
@click.option("--until", "until_day", type=DAY, help="The first day on which it doesn't hold any more; for good if not given.")
@click.pass_obj
def set_fee(
    console: Console, service: str, provider: str | None, kind: str, price: str, from_day: datetime | None, until_day: datetime | None
) -> None:
    """Set what a visit costs with a provider, for a kind of visit, or both."""
    from billing_consultation import services

    console.run(
        lambda tx: services.set_fee(
            tx,
            service=service,
            provider=provider,
            kind=kind,
            unit_price_e4=parse_unit_price(price, tx.clinic.currency),
            valid_from_date=_day(from_day),
            valid_until_date=_day(until_day),
        )
    )
    console.say(f"The fee of {service} is set.")


@fee.command("end")
@click.option("--service", required=True, metavar="CODE", help="A service that is marked as a visit.")
@click.option("--provider", metavar="NAME", help="As it was set.")
@click.option("--kind", default="", help="As it was set.")
@click.option("--until", "until_day", type=DAY, help="The first day on which it doesn't hold any more; today if not given.")
@click.pass_obj
def end_fee(console: Console, service: str, provider: str | None, kind: str, until_day: datetime | None) -> None:
    """End a fee: the next rank's fee or the price list counts again."""
    from billing_consultation import services

    console.run(lambda tx: services.end_fee(tx, service=service, provider=provider, kind=kind, until_date=_day(until_day)))
    console.say(f"The fee of {service} has ended.")


@fee.command("list")
@click.option("--service", metavar="CODE", help="Of this service only.")
@click.pass_obj
def list_fees(console: Console, service: str | None) -> None:
    """Show all visits with their list price and their fees."""
    from billing_consultation import services

    entries, currency = console.read(lambda tx: (services.list_fees(tx, service=service), tx.clinic.currency))
    rows = [
        {
            "service": each.service,
            "description": each.description,
            "provider": each.provider,
            "kind": each.kind or None,
            "price": format_unit_price(each.unit_price_e4, currency),
            "from": each.valid_from_date,
            "until": each.valid_until_date,
            "follow_up": each.follow_up,
        }
        for each in entries
    ]
    console.show(rows, columns=["service", "description", "provider", "kind", "price", "from", "until", "follow_up"])


@fee.command("terms")
@click.option("--provider", metavar="NAME", help="With this provider; with all who have no terms of their own if not given.")
@click.option("--share", metavar="PERCENT", help="The provider's share of what is paid, net of tax, such as 40.")
@click.option("--follow-up-days", type=click.IntRange(min=0), help="For how many days after a visit that was paid in full; 0 for none.")
@click.option("--follow-up-visits", type=click.IntRange(min=0), help="How many visits within these days.")
@click.option("--follow-up-price", metavar="PRICE", help="What each of them costs; 0 for nothing.")
@click.pass_obj
def agree_terms(
    console: Console,
    provider: str | None,
    share: str | None,
    follow_up_days: int | None,
    follow_up_visits: int | None,
    follow_up_price: str | None,
) -> None:
    """Agree shares and follow-ups; what is not given stays as it is. Without any option, show what is agreed."""
    from billing_consultation import services

    if (provider, share, follow_up_days, follow_up_visits, follow_up_price) == (None,) * 5:
        entries, currency = console.read(lambda tx: (services.list_terms(tx), tx.clinic.currency))
        console.show([_terms_row(each.provider, each.terms, currency) for each in entries], columns=_TERMS_COLUMNS)
        return
    terms, currency = console.run(
        lambda tx: (
            services.set_terms(
                tx,
                provider=provider,
                share_bp=None if share is None else share_bp_of(share),
                follow_up_days=follow_up_days,
                follow_up_visits=follow_up_visits,
                follow_up_price_e4=None if follow_up_price is None else parse_unit_price(follow_up_price, tx.clinic.currency),
            ),
            tx.clinic.currency,
        )
    )
    console.show([_terms_row(provider, terms, currency)], columns=_TERMS_COLUMNS)


@fee.command("shares")
@click.option("--provider", metavar="NAME", help="Of this provider only.")
@click.option("--from", "from_day", type=DAY, help="From this day on.")
@click.option("--until", "until_day", type=DAY, help="Before this day.")
@click.option("--totals", is_flag=True, help="One line for each provider.")
@click.pass_obj
def list_shares(console: Console, provider: str | None, from_day: datetime | None, until_day: datetime | None, totals: bool) -> None:
    """Show the providers' shares of what was paid; refunds take them back."""
    from billing_consultation import services

    shares, currency = console.read(
        lambda tx: (
            services.list_shares(tx, provider=provider, from_date=_day(from_day), until_date=_day(until_day)),
            tx.clinic.currency,
        )
    )
    by_provider = [
        {
            "provider": each.provider,
            "amount": format_amount(each.amount_minor, currency),
            "open": format_amount(each.open_minor, currency),
            "currency": currency.code,
        }
        for each in shares.totals
    ]
    if totals:
        console.show(by_provider, columns=["provider", "amount", "open", "currency"])
        return
    rows = [
        {
            "date": each.business_date,
            "provider": each.provider,
            "item": each.item,
            "item_id": each.item_id,
            "amount": format_amount(each.amount_minor, currency),
            "paid_out": each.paid_out,
        }
        for each in shares.entries
    ]
    console.show(rows, columns=["date", "provider", "item", "amount", "paid_out"])
    for total in by_provider:
        console.say(f"{total['provider']}: {total['amount']} {total['currency']}, of which {total['open']} to be paid out.")


_TERMS_COLUMNS = ["provider", "share_percent", "follow_up_days", "follow_up_visits", "follow_up_price"]


def _terms_row(provider: str | None, terms: AgreedTerms, currency: Currency) -> dict[str, Any]:
    percent, rest = divmod(terms.share_bp, 100)
    return {
        "provider": provider or "(all others)",
        "share_percent": f"{percent}.{rest:02}",
        "follow_up_days": terms.follow_up_days,
        "follow_up_visits": terms.follow_up_visits,
        "follow_up_price": format_unit_price(terms.follow_up_price_e4, currency),
    }


def _day(chosen: datetime | None) -> date | None:
    return chosen.date() if chosen else None
