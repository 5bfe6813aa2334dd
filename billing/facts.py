"""The frozen values that hooks get: what is quoted, billed, paid, refunded and imported. Never rows, never a connection.

Amounts are minor units of `currency`, quantities thousandths, unit prices ten-thousandths of a minor unit, rates basis points.
`settings` is the receiving plugin's own settings model for this clinic; `given` what the cashier gave to this plugin, as its own model, or None.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from billing.money import Currency


@dataclass(frozen=True, slots=True)
class PatientFacts:
    """Who is cared for. `kind` is person or animal; only an animal has species and breed."""

    id: str
    client_id: str
    kind: str
    sex: str
    birth_date: date | None = None
    species: str | None = None
    breed: str | None = None


@dataclass(frozen=True, slots=True)
class StoredEffect:
    """What a department did for an item, as the core has kept it. `row` is the key of the row that it named, or ''."""

    kind: str
    row: str
    quantity_milli: int
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BilledItem:
    """An item of an invoice. `given` is what the line was created with for the plugin, as JSON values."""

    id: str
    position: int
    department: str
    code: str
    description: str
    quantity_milli: int
    unit_price_e4: int
    taxable_minor: int
    tax_minor: int
    total_minor: int
    service_id: str | None = None
    provider_id: str | None = None
    source: str | None = None
    given: Mapping[str, Any] = field(default_factory=dict)


PaidItem = BilledItem
"""An item that this payment settles."""


@dataclass(frozen=True, slots=True)
class RefundedItem:
    """An item, the quantity of it that is given back, and what the plugin did when it was paid (and in refunds since)."""

    item: BilledItem
    quantity_milli: int
    effects: tuple[StoredEffect, ...]
    condition: str = "good"
    """What became of the goods: `good` (they can be sold again) or `destroyed`."""

    @property
    def id(self) -> str:
        """The item's id."""
        return self.item.id

    @property
    def department(self) -> str:
        """The item's department."""
        return self.item.department


@dataclass(frozen=True, slots=True)
class QuotedLine:
    """A line whose totals are being computed. `unit_price_e4` is the price list's; `visit` the consultation's kind."""

    position: int
    department: str
    code: str
    service_id: str | None
    quantity_milli: int
    unit_price_e4: int
    patient: PatientFacts
    provider_id: str | None = None
    visit: str | None = None


@dataclass(frozen=True, slots=True)
class QuotingClinic:
    """The clinic in which lines are quoted."""

    id: str
    currency: Currency
    business_date: date
    at: datetime
    settings: Any = None


@dataclass(frozen=True, slots=True)
class Price:
    """Answer to a quote: the unit price of a line, and why."""

    position: int
    unit_price_e4: int
    reason: str


@dataclass(frozen=True, slots=True)
class Allowance:
    """Answer to a quote: an amount off a line, and why."""

    position: int
    amount_minor: int
    reason: str


@dataclass(frozen=True, slots=True)
class Charge:
    """Answer to a quote: an amount on top of a line, and why."""

    position: int
    amount_minor: int
    reason: str


Quote = Price | Allowance | Charge


@dataclass(frozen=True, slots=True)
class InvoiceFacts:
    """The invoice whose step is being taken."""

    id: str
    patient: PatientFacts
    currency: Currency
    business_date: date
    at: datetime
    actor_id: str
    consultation_id: str | None = None
    settings: Any = None


@dataclass(frozen=True, slots=True)
class PaymentFacts:
    """The payment that is being taken. `scope` is ALL, ON_ACCOUNT or department codes; the receipt number is not known yet."""

    id: str
    invoice_id: str
    patient: PatientFacts
    currency: Currency
    scope: str
    applied_minor: int
    business_date: date
    at: datetime
    actor_id: str
    consultation_id: str | None = None
    settings: Any = None
    given: Any = None


@dataclass(frozen=True, slots=True)
class RefundFacts:
    """The reversal that is being done. `payment_id` is the payment that is voided, '' where no single one is meant."""

    id: str
    invoice_id: str
    payment_id: str
    patient: PatientFacts
    currency: Currency
    reason: str
    business_date: date
    at: datetime
    actor_id: str
    settings: Any = None
    given: Any = None
    kind: str = "refund"
    """void, refund, return or cancel."""


@dataclass(frozen=True, slots=True)
class Record:
    """One record of an import, as the file has it. `kind` is visit, procedure, medication, immunization or observation."""

    kind: str
    row: Mapping[str, str]
    at: datetime


@dataclass(frozen=True, slots=True)
class Records:
    """The records of one visit. `entered_by` and `verified_by` are the two importing actors (staff ids)."""

    visit_id: str
    at: datetime
    currency: Currency
    rows: tuple[Record, ...]
    entered_by: str
    verified_by: str


@dataclass(frozen=True, slots=True)
class Claim:
    """A plugin's answer to a record: bill it as this item. Records that nobody claims are counted as skipped.

    `record` is the record claimed; `unit_price_e4` and `quantity_milli` as everywhere; `given` is handed on with the item.
    """

    record: Record
    department: str
    code: str
    description: str
    unit_price_e4: int
    quantity_milli: int = 1000
    given: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ImportedItem:
    """An item of an import before it is billed: its service stands in the price list already."""

    service_id: str
    department: str
    code: str
    description: str
    quantity_milli: int
    given: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ImportFacts:
    """The import in which items appear. `actor_id` is the importing actor."""

    visit_id: str
    business_date: date
    at: datetime
    actor_id: str
    settings: Any = None
