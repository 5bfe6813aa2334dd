"""Whether what is handed over pays what is due, and the change. It must not know items, departments or tables.

Amounts are minor units of one currency. Always: tendered - change - rounding = applied, and change >= 0.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from billing.errors import Invalid, Refused
from billing.money import MAX_AMOUNT_MINOR, Currency, format_amount, round_cash


class Underpaid(Refused):
    """Less than due; no department is paid in part. Facts: `due_minor` (to be handed over, cash rounded), `tendered_minor`."""

    code = "underpaid"


class Overpaid(Refused):
    """More than due by a method that gives no change. Facts: `due_minor` (to be handed over, cash rounded), `tendered_minor`."""

    code = "overpaid"


class UnknownMethod(Invalid):
    """No payment method of this clinic has that code. Facts: `method`."""

    code = "unknown_method"


class ReferenceMissing(Invalid):
    """The method needs a reference. Facts: `method`."""

    code = "reference_missing"


class BadPaymentAmount(Invalid):
    """An amount that can't be paid: zero or less, too large, or on account more than is due. Facts: `amount_minor`."""

    code = "bad_payment_amount"


@dataclass(frozen=True, slots=True)
class Method:
    """A way to pay. It never changes what is billed, only says what its tenders need and may do.

    `gives_change`: more than due is accepted and the difference given back. `rounds_cash`: its part is rounded to the
    currency's cash step. `needs_reference`: each tender carries one. `moves_wallet`: the money comes from the client's wallet.
    """

    code: str
    gives_change: bool = False
    needs_reference: bool = False
    moves_wallet: bool = False
    rounds_cash: bool = False


CORE_METHODS: Mapping[str, Method] = MappingProxyType(
    {
        "cash": Method("cash", gives_change=True, rounds_cash=True),
        "card": Method("card"),
        "transfer": Method("transfer"),
        "wallet": Method("wallet", moves_wallet=True),
    }
)


@dataclass(frozen=True, slots=True)
class Tender:
    """One part of what is handed over; `amount_minor` is before change."""

    method: str
    amount_minor: int
    reference: str | None = None


@dataclass(frozen=True, slots=True)
class Tendered:
    """Checked tenders. `rounding_minor` is what cash rounding adds (or, below 0, forgives); it is kept as its own amount."""

    applied_minor: int
    tendered_minor: int
    change_minor: int
    rounding_minor: int


def check_tenders(
    tenders: Sequence[Tender],
    *,
    due_minor: int,
    methods: Mapping[str, Method],
    currency: Currency,
    on_account: bool,
    applied_minor: int | None = None,
) -> Tendered:
    """Pass the tenders that pay `due_minor` exactly, or more where the excess is covered by methods that give change.

    On account `due_minor` is the invoice's amount due, and `applied_minor` what is taken of it: 0 < applied <= due. Where it is not
    given it is the sum of the tenders, taken as it is, without change or rounding. For a scope it must not be given.
    A tender is above 0; only where nothing has to be handed over a single one of 0 may say so, and none is fine where nothing is due.

    Raises `UnknownMethod`, `ReferenceMissing`, `BadPaymentAmount`, `Underpaid`, `Overpaid`.
    """
    if due_minor < 0 or (applied_minor is not None and not on_account):
        raise ValueError("what is due is 0 or more, and only a payment on account names its amount")
    for tender in tenders:
        check_tender(tender, methods=methods, currency=currency)
    tendered = sum(tender.amount_minor for tender in tenders)

    applied, rounding = due_minor, 0
    if on_account:
        applied = tendered if applied_minor is None else applied_minor
        check_on_account(applied, due_minor=due_minor, currency=currency)
    if not on_account or applied_minor is not None:
        rounding = _cash_rounding(tenders, applied_minor=applied, methods=methods, currency=currency)
    payable = applied + rounding

    _check_zero(tenders, payable_minor=payable)
    _check_enough(tenders, payable_minor=payable, methods=methods, currency=currency)
    return Tendered(applied_minor=applied, tendered_minor=tendered, change_minor=tendered - payable, rounding_minor=rounding)


def kept_by_method(tenders: Sequence[Tender], *, change_minor: int, methods: Mapping[str, Method]) -> dict[str, int]:
    """Return by method what stays of the tenders: the change is taken off those that give it, the latest first."""
    kept: dict[str, int] = {}
    for tender in tenders:
        kept[tender.method] = kept.get(tender.method, 0) + tender.amount_minor
    left = change_minor
    for code in reversed([code for code in kept if methods[code].gives_change]):
        given = min(left, kept[code])
        kept[code] -= given
        left -= given
    return kept


def check_tender(tender: Tender, *, methods: Mapping[str, Method], currency: Currency) -> None:
    """Pass a tender that is possible by itself. Raises `UnknownMethod`, `ReferenceMissing`, `BadPaymentAmount`."""
    method = methods.get(tender.method)
    if method is None:
        sentence = f"{tender.method[:40]!r} is no payment method here: choose from {', '.join(sorted(methods))}."
        raise UnknownMethod(sentence, method=tender.method)
    if method.needs_reference and not (tender.reference or "").strip():
        raise ReferenceMissing(f"A payment by {method.code} needs a reference: give the one of its slip or statement.", method=method.code)
    if not 0 <= tender.amount_minor <= MAX_AMOUNT_MINOR:
        most = format_amount(MAX_AMOUNT_MINOR, currency)
        sentence = f"An amount by {method.code} must be above zero and at most {most}: a payment is never negative."
        raise BadPaymentAmount(sentence, amount_minor=tender.amount_minor)


def check_on_account(applied_minor: int, *, due_minor: int, currency: Currency) -> None:
    """Pass an amount that can be taken on account of what is due. Raises `BadPaymentAmount`."""
    if not 0 < applied_minor <= due_minor:
        amount, due = _money(applied_minor, currency), _money(due_minor, currency)
        sentence = f"{amount} can't be taken on account: it must be above zero and at most {due}, which is due on the invoice."
        raise BadPaymentAmount(sentence, amount_minor=applied_minor, due_minor=due_minor)


def _cash_rounding(tenders: Sequence[Tender], *, applied_minor: int, methods: Mapping[str, Method], currency: Currency) -> int:
    """Compute what rounding adds to the part that is left to cash; 0 without a cash tender. Other tenders are taken to the last cent."""
    exact = [tender.amount_minor for tender in tenders if not methods[tender.method].rounds_cash]
    left_to_cash = applied_minor - sum(exact)
    if len(exact) == len(tenders) or left_to_cash <= 0:
        return 0
    return round_cash(left_to_cash, currency) - left_to_cash


def _check_zero(tenders: Sequence[Tender], *, payable_minor: int) -> None:
    says_nothing_to_pay = payable_minor == 0 and len(tenders) == 1
    if any(tender.amount_minor == 0 for tender in tenders) and not says_nothing_to_pay:
        raise BadPaymentAmount("An amount of zero pays nothing: leave this tender out, or give its amount.", amount_minor=0)


def _check_enough(tenders: Sequence[Tender], *, payable_minor: int, methods: Mapping[str, Method], currency: Currency) -> None:
    tendered = sum(tender.amount_minor for tender in tenders)
    changeable = sum(tender.amount_minor for tender in tenders if methods[tender.method].gives_change)
    if 0 <= tendered - payable_minor <= changeable:
        return
    given, due = _money(tendered, currency), _money(payable_minor, currency)
    if tendered < payable_minor:
        missing = _money(payable_minor - tendered, currency)
        sentence = f"{given} is less than {due}, which is due: take {missing} more, or a smaller amount on account."
        raise Underpaid(sentence, due_minor=payable_minor, tendered_minor=tendered)
    sentence = (
        f"{given} is more than {due}, which is due, and this can't be given back as change: take the exact amount; "
        "`billing wallet top-up` keeps the rest for the client."
    )
    raise Overpaid(sentence, due_minor=payable_minor, tendered_minor=tendered)


def _money(minor: int, currency: Currency) -> str:
    return f"{format_amount(minor, currency)} {currency.code}"
