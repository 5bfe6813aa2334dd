"""What a visit costs, who shares in what was paid, and which visits are follow-ups. It must not know tables, needs or hooks.

Amounts are minor units of the clinic's currency, unit prices ten-thousandths of one, quantities thousandths, shares basis points.
A day is the clinic's business date.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime, timedelta

from billing.plugin import Invalid, StoredEffect, divide_half_up, parse_quantity

WHOLE_BP = 10_000
MAX_FOLLOW_UP_DAYS = 3650
PAID, REFUNDED = ".paid", ".refunded"


class BadShare(Invalid):
    """The text is no percentage of what was paid. Facts: `text`."""

    code = "bad_share"


@dataclass(frozen=True, slots=True)
class ListedFee:
    """The price of a service for a provider (None: any) and a kind of visit ('': any), from a day on."""

    service_id: str
    provider_id: str | None
    kind: str
    unit_price_e4: int
    valid_from_date: date

    @property
    def reason(self) -> str:
        """Say on the invoice why this is the price."""
        whose = " of the provider" if self.provider_id else ""
        return f"fee{whose} for {self.kind}" if self.kind else f"fee{whose}"


class BadTerms(Invalid):
    """These terms can't be agreed: a number is out of bounds, or days and visits of the follow-ups don't fit. Facts: those of the terms."""

    code = "bad_terms"


@dataclass(frozen=True, slots=True)
class AgreedTerms:
    """What a provider gets of what is paid, and how long and how often a follow-up costs `follow_up_price_e4` (0: nothing)."""

    share_bp: int
    follow_up_days: int
    follow_up_price_e4: int
    follow_up_visits: int


def check_terms(terms: AgreedTerms) -> AgreedTerms:
    """Give the terms back if they can be agreed. Raises `BadTerms`."""
    if not 0 <= terms.share_bp <= WHOLE_BP:
        raise BadTerms("A share lies between 0 and 100 percent.", **asdict(terms))
    if not 0 <= terms.follow_up_days <= MAX_FOLLOW_UP_DAYS:
        raise BadTerms(f"Follow-ups are possible for 0 to {MAX_FOLLOW_UP_DAYS} days.", **asdict(terms))
    if terms.follow_up_price_e4 < 0 or terms.follow_up_visits < 0:
        raise BadTerms("Price and number of follow-ups can't be negative.", **asdict(terms))
    if (terms.follow_up_days == 0) != (terms.follow_up_visits == 0):
        raise BadTerms("Follow-ups need both days and visits: give at least one of each, or none of both.", **asdict(terms))
    return terms


@dataclass(frozen=True, slots=True)
class Window:
    """The days on which a patient's visits to a provider are follow-ups. `free_through_date` is the last of them.

    Life: opened by a visit paid in full (`item_id`, settled by `payment_id`), used up by follow-ups until `visits_left` is 0,
    closed when that visit is refunded; overwritten when another one is paid in full. The price is the one promised at the opening.
    """

    patient_id: str
    provider_id: str
    free_from_date: date
    free_through_date: date
    visits_left: int
    unit_price_e4: int
    item_id: str
    payment_id: str
    closed_at: datetime | None = None

    def covers(self, *, visits: int, day: date) -> bool:
        """Say whether so many visits on that day are follow-ups."""
        return self.closed_at is None and self.visits_left >= visits and self.free_from_date <= day <= self.free_through_date

    def less(self, visits: int) -> "Window":
        """Return the window after so many follow-ups."""
        return replace(self, visits_left=self.visits_left - visits)

    def without(self, done: "PaidBefore", *, item_id: str, at: datetime) -> "Window":
        """Return the window after the refund of an item that opened it (then it is closed) or used it up (then its visits come back)."""
        if item_id == self.item_id:
            return replace(self, visits_left=0, closed_at=self.closed_at or at)
        if done.follow_up_of == self.item_id and self.closed_at is None:
            return self.less(-done.visits)
        return self


@dataclass(frozen=True, slots=True)
class PaidVisit:
    """A visit that is being paid, of a service that takes part in follow-ups."""

    item_id: str
    unit_price_e4: int
    taxable_minor: int
    visits: int


@dataclass(frozen=True, slots=True)
class Settlement:
    """What is true after a payment: the window, and how many of its visits each item has used up."""

    window: Window | None
    used: dict[str, int]


@dataclass(frozen=True, slots=True)
class PaidBefore:
    """What the payment of an item did, and how much of the item came back since.

    `follow_up_of` is the item that opened the window of which this one used `visits`.
    """

    kind: str
    quantity_milli: int
    returned_milli: int
    share_minor: int
    follow_up_of: str | None
    visits: int

    def left_milli(self, returning_milli: int) -> int:
        """Return how much of the item stays paid when so much more of it comes back."""
        return self.quantity_milli - self.returned_milli - returning_milli


def paid_before(effects: Sequence[StoredEffect]) -> PaidBefore:
    """Read the stored effects of an item, in their order: its latest payment, and the refunds since."""
    latest = max(place for place, each in enumerate(effects) if each.kind.endswith(PAID))
    paid, since = effects[latest], effects[latest + 1 :]
    return PaidBefore(
        kind=paid.kind.removesuffix(PAID),
        quantity_milli=paid.quantity_milli,
        returned_milli=sum(each.quantity_milli for each in since),
        share_minor=paid.data["share_minor"],
        follow_up_of=paid.data.get("follow_up_of"),
        visits=paid.data.get("visits", 0),
    )


def fee_for(fees: Iterable[ListedFee], *, provider_id: str | None, kind: str | None) -> ListedFee | None:
    """Choose the fee of one service: for provider and kind, for the provider, for the kind; None means the price list.

    Several of the same rank: the one that began latest.
    """
    fitting = (fee for fee in fees if fee.provider_id in {None, provider_id} and fee.kind in {"", kind})
    return max(fitting, key=lambda fee: (fee.provider_id is not None, fee.kind != "", fee.valid_from_date), default=None)


def visits_in(quantity_milli: int) -> int:
    """Count the visits of a line: a begun one is one."""
    return -(-quantity_milli // 1000)


def share_of(taxable_minor: int, share_bp: int) -> int:
    """Compute a provider's share of an item, rounded half up.

    The base is the net amount after allowances, the document's included: tax belongs to the state and is nobody's income.
    """
    return divide_half_up(taxable_minor * share_bp, WHOLE_BP)


def share_to_reverse(share_minor: int, *, paid_milli: int, returned_milli: int, returning_milli: int) -> int:
    """Compute what the return of `returning_milli` takes back of a share, when `returned_milli` of `paid_milli` came back before.

    It is the difference of two rounded totals, so returns in any steps take back the whole share, no more and no less.
    """
    before = divide_half_up(share_minor * returned_milli, paid_milli)
    return divide_half_up(share_minor * (returned_milli + returning_milli), paid_milli) - before


def settle_visits(
    window: Window | None,
    visits: Sequence[PaidVisit],
    *,
    terms: AgreedTerms | None,
    patient_id: str,
    provider_id: str,
    payment_id: str,
    day: date,
) -> Settlement:
    """Count the visits of one patient to one provider in one payment down from their window, then open a new one if any was paid in full.

    A visit is a follow-up if the window covers the day and its price is no higher than the one promised: whatever was quoted,
    what was billed counts. A visit billed as a follow-up after the window was used up stays as billed and opens none: windows don't chain.
    """
    used: dict[str, int] = {}
    for visit in visits:
        if window is not None and window.covers(visits=1, day=day) and visit.unit_price_e4 <= window.unit_price_e4:
            used[visit.item_id] = min(visit.visits, window.visits_left)
            window = window.less(used[visit.item_id])
    in_full = [visit for visit in visits if visit.item_id not in used and _paid_in_full(visit, terms)]
    if terms is not None and in_full and terms.follow_up_days and not _opened_later(window, day):
        window = Window(
            patient_id=patient_id,
            provider_id=provider_id,
            free_from_date=day,
            free_through_date=day + timedelta(days=terms.follow_up_days),
            visits_left=terms.follow_up_visits,
            unit_price_e4=terms.follow_up_price_e4,
            item_id=in_full[-1].item_id,
            payment_id=payment_id,
        )
    return Settlement(window, used)


def share_bp_of(percent: str) -> int:
    """Read "40" or "37.5" percent as basis points. Raises `BadShare`, `BadQuantity`."""
    share_bp, rest = divmod(parse_quantity(percent), 10)
    if rest or share_bp > WHOLE_BP:
        raise BadShare(f"{percent!r} is no share: write a percentage from 0 to 100 with at most 2 decimals, such as 37.5.", text=percent)
    return share_bp


def _paid_in_full(visit: PaidVisit, terms: AgreedTerms | None) -> bool:
    return terms is not None and visit.taxable_minor > 0 and visit.unit_price_e4 > terms.follow_up_price_e4


def _opened_later(window: Window | None, day: date) -> bool:
    # Records of the past may be paid after newer ones; they must not move a patient's window back.
    return window is not None and window.closed_at is None and window.free_from_date > day
