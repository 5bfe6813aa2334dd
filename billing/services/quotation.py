"""What is ordered, and what it comes to: an invoice before it has a number. Values only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from billing.facts import PatientFacts
from billing.rules.totals import TaxGroup, Totals
from billing.services.acting import Needs

UNTAXED = TaxGroup("O", 0)
"""The tax of what has none named: outside the scope of tax."""

Reason = tuple[int, str]
"""An amount in minor units, above zero, and why."""


@dataclass(frozen=True, slots=True)
class NewItem:
    """An item to bill: a service by its code, or a free text with department and price (permission `invoices.free_text`).

    `unit_price_e4` for a service is another price than the list's (permission `prices.override`). `given` is handed on to the department
    unseen (permission `imports.run`).
    """

    code: str | None = None
    quantity_milli: int = 1000
    description: str | None = None
    department: str | None = None
    unit_price_e4: int | None = None
    tax: TaxGroup | None = None
    allowances: tuple[Reason, ...] = ()
    charges: tuple[Reason, ...] = ()
    provider_id: str | None = None
    source: str | None = None
    given: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NewAdjustment:
    """A discount or charge on the whole document. Without a tax it falls on the only group of the items."""

    charge: bool
    amount_minor: int
    reason: str
    tax: TaxGroup | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an invoice is to hold, as it was asked for, and how it is to be counted.

    `rounding` and `prices_include_tax` are the clinic's unless given (a draft keeps those that it was made with). `kept_providers` stand on the
    draft already, so they may have left meanwhile. With `hold` (an invoice is being written) the consultation stays as it is until the unit ends.
    """

    patient_id: str
    items: Sequence[NewItem]
    adjustments: Sequence[NewAdjustment] = ()
    consultation_id: str | None = None
    provider_id: str | None = None
    rounding: str | None = None
    prices_include_tax: bool | None = None
    kept_providers: frozenset[str] = frozenset()
    hold: bool = False


@dataclass(frozen=True, slots=True)
class Reduction:
    """An allowance or charge as it is stored: on an item (by position) or, without one, on the document.

    `given_by` is the person who gave it, `approved_by` who consented where that was needed, `code_id` the discount code that it came from.
    """

    charge: bool
    amount_minor: int
    reason: str
    tax: TaxGroup
    position: int | None = None
    plugin: str | None = None
    given_by: str | None = None
    approved_by: str | None = None
    code_id: str | None = None


@dataclass(frozen=True, slots=True)
class QuotedItem:
    """An item with its price, before totals."""

    id: str
    position: int
    department: str
    service_id: str | None
    code: str
    description: str
    unit: str
    quantity_milli: int
    unit_price_e4: int
    price_reason: str
    person_price: bool
    tax: TaxGroup
    provider_id: str | None
    source: str | None
    given: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Quotation:
    """Everything about an invoice but its number: patient, items, reductions and totals.

    `needs` and what they `found` are of the plugins that hear of the step for which it was quoted: asked together with the prices.
    """

    patient: PatientFacts
    consultation_id: str | None
    provider_id: str | None
    items: tuple[QuotedItem, ...]
    reductions: tuple[Reduction, ...]
    totals: Totals
    needs: Needs = ()
    found: Sequence[Sequence[Any]] = ()
