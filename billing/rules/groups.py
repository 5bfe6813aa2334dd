"""One payment over several invoices: which part of what is handed over pays which of them. Pure; knows no tables.

Each invoice is paid whole, in the given order, as long as the money lasts; the first that it does not cover gets the rest on account.
Exact methods are used up before cash, so that only cash is left over and given back as change, with the last receipt. Every receipt rounds
its own cash part, as a payment by itself would: what is kept of cash is the sum of what the receipts say.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from billing.money import Currency, format_amount, round_cash
from billing.rules.tenders import BadPaymentAmount, Method, Tender, Underpaid, check_tender


@dataclass(frozen=True, slots=True)
class Share:
    """What one invoice gets: the tenders that are handed over for it, and what is taken of them on account (None: it is paid whole)."""

    invoice: int
    tenders: tuple[Tender, ...]
    on_account_minor: int | None = None


def distribute(dues: Sequence[int], tenders: Sequence[Tender], *, methods: Mapping[str, Method], currency: Currency) -> list[Share]:
    """Share the tenders out over invoices with these amounts due, in minor units; by position, and those that get nothing left out.

    What is too much goes with the last share, where change is given or refused. Raises what `check_tender` raises, and `Underpaid` if the
    money does not even pay the first invoice.
    """
    for tender in tenders:
        check_tender(tender, methods=methods, currency=currency)
        if tender.amount_minor == 0:
            raise BadPaymentAmount("An amount of zero pays nothing: leave this tender out, or give its amount.", amount_minor=0)
    order = sorted(range(len(tenders)), key=lambda place: methods[tenders[place].method].rounds_cash)
    left = [tender.amount_minor for tender in tenders]
    shares: list[Share] = []
    for position, due in enumerate(dues):
        taken = _take(due, left, [(place, methods[tenders[place].method].rounds_cash) for place in order], currency)
        if taken is None:
            if rest := _handed(tenders, left) if shares else ():
                shares.append(Share(position, rest, on_account_minor=sum(left)))
            break
        left = [amount - used for amount, used in zip(left, taken, strict=True)]
        shares.append(Share(position, _handed(tenders, taken)))
    else:
        if shares:
            shares[-1] = replace(shares[-1], tenders=_with(shares[-1].tenders, _handed(tenders, left)))
    if dues and not shares:
        given, wanted = (f"{format_amount(amount, currency)} {currency.code}" for amount in (sum(left), dues[0]))
        sentence = f"{given} does not pay the first invoice, of which {wanted} is due: take more, or take it on account of that one alone."
        raise Underpaid(sentence, due_minor=dues[0], tendered_minor=sum(left))
    return shares


def _take(due: int, left: Sequence[int], order: Sequence[tuple[int, bool]], currency: Currency) -> list[int] | None:
    """Return what each tender gives towards what is due, those by cash behind the others; None if it is not enough."""
    taken, open_minor, in_cash = [0] * len(left), due, False
    for place, cash in order:
        if cash and open_minor and not in_cash:
            in_cash, open_minor = True, round_cash(open_minor, currency)
            if not open_minor:
                return None  # a rest below a coin is forgiven only where some of it is paid in cash
        taken[place] = min(left[place], open_minor)
        open_minor -= taken[place]
    return None if open_minor else taken


def _handed(tenders: Sequence[Tender], amounts: Sequence[int]) -> tuple[Tender, ...]:
    return tuple(replace(tender, amount_minor=amount) for tender, amount in zip(tenders, amounts, strict=True) if amount)


def _with(handed: Sequence[Tender], more: Sequence[Tender]) -> tuple[Tender, ...]:
    """Return the tenders with others added to those of the same method and reference."""
    found = list(handed)
    for tender in more:
        at = next((place for place, each in enumerate(found) if (each.method, each.reference) == (tender.method, tender.reference)), None)
        if at is None:
            found.append(tender)
        else:
            found[at] = replace(found[at], amount_minor=found[at].amount_minor + tender.amount_minor)
    return tuple(found)
