"""The front door: all that a plugin may import. What stands here is kept stable; what doesn't is the core's own business."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from billing.changes.declare import BILLING_API, Declaration, Department, Invariant, PluginModel
from billing.changes.kinds import Adjust, Change, ChangeRow, DoneFor, Insert, Put, Tell, adjust, change, effect, insert, put, tell
from billing.changes.needs import Known, Need, billing, importing, paying, quoting, refunding, today
from billing.clock import business_date, local
from billing.errors import BillingError, Conflict, Forbidden, Invalid, Misconfigured, NotFound, PluginViolation, Refused
from billing.facts import (
    Allowance,
    BilledItem,
    Charge,
    Claim,
    ImportedItem,
    ImportFacts,
    InvoiceFacts,
    PaidItem,
    PatientFacts,
    PaymentFacts,
    Price,
    Quote,
    QuotedLine,
    QuotingClinic,
    Record,
    Records,
    RefundedItem,
    RefundFacts,
    StoredEffect,
)
from billing.hookspecs import hookimpl
from billing.model import CLINIC, Base, ClinicRow, ClinicRowWithId, Upkeep, check, new_id, references, types, unique
from billing.model.types import Day, Flag, Id, Instant, Json, Milli, Minor, Name, Whole
from billing.money import (
    Currency,
    allocate,
    currency,
    divide_half_up,
    format_amount,
    format_quantity,
    format_unit_price,
    parse_amount,
    parse_quantity,
    parse_unit_price,
)
from billing.rules.roles import Permission
from billing.rules.settlement import Scope
from billing.rules.tenders import Method, Tender
from billing.rules.totals import TaxGroup
from billing.services.invoices import InvoiceMade, create_invoice
from billing.services.keys import once
from billing.services.payments import PaymentTaken, take_payment
from billing.services.prices import ServiceFacts, find_service
from billing.services.quotation import NewAdjustment, NewItem
from billing.services.reading import read_invoice, read_payment
from billing.services.staff import ProviderFacts, find_provider
from billing.transaction import Actor, Transaction

T = TypeVar("T")


class Console(Protocol):
    """What a command of a plugin gets as `click.pass_obj`: units of work for the clinic and actor of the command line, and output.

    `--clinic`, `--as` and `--json` are added to every command by the core.
    """

    def run(self, unit: Callable[[Transaction], T]) -> T:
        """Run one unit of work and commit it."""

    def read(self, unit: Callable[[Transaction], T]) -> T:
        """Run one unit that only reads."""

    def show(self, data: Sequence[Mapping[str, Any]] | Mapping[str, Any], *, columns: Sequence[str] | None = None) -> None:
        """Print rows as a table for people, or as JSON with --json. Amounts come formatted ("146.76")."""

    def say(self, sentence: str) -> None:
        """Print one line for people; nothing with --json."""


__all__ = [
    "BILLING_API",
    "CLINIC",
    "Actor",
    "Adjust",
    "Allowance",
    "Base",
    "BilledItem",
    "BillingError",
    "Change",
    "ChangeRow",
    "Charge",
    "Claim",
    "ClinicRow",
    "ClinicRowWithId",
    "Conflict",
    "Console",
    "Currency",
    "Day",
    "Declaration",
    "Department",
    "DoneFor",
    "Flag",
    "Forbidden",
    "Id",
    "ImportFacts",
    "ImportedItem",
    "Insert",
    "Instant",
    "Invalid",
    "Invariant",
    "InvoiceFacts",
    "InvoiceMade",
    "Json",
    "Known",
    "Method",
    "Milli",
    "Minor",
    "Misconfigured",
    "Name",
    "Need",
    "NewAdjustment",
    "NewItem",
    "NotFound",
    "PaidItem",
    "PatientFacts",
    "PaymentFacts",
    "PaymentTaken",
    "Permission",
    "PluginModel",
    "PluginViolation",
    "Price",
    "ProviderFacts",
    "Put",
    "Quote",
    "QuotedLine",
    "QuotingClinic",
    "Record",
    "Records",
    "RefundFacts",
    "RefundedItem",
    "Refused",
    "Scope",
    "ServiceFacts",
    "StoredEffect",
    "TaxGroup",
    "Tell",
    "Tender",
    "Transaction",
    "Upkeep",
    "Whole",
    "adjust",
    "allocate",
    "billing",
    "business_date",
    "change",
    "check",
    "create_invoice",
    "currency",
    "divide_half_up",
    "effect",
    "find_provider",
    "find_service",
    "format_amount",
    "format_quantity",
    "format_unit_price",
    "hookimpl",
    "importing",
    "insert",
    "local",
    "new_id",
    "once",
    "parse_amount",
    "parse_quantity",
    "parse_unit_price",
    "paying",
    "put",
    "quoting",
    "read_invoice",
    "read_payment",
    "references",
    "refunding",
    "take_payment",
    "tell",
    "today",
    "types",
    "unique",
]
