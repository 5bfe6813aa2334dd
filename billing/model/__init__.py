"""Tables: columns, keys and constraints, one file per noun. They know nothing of services, sessions or plugins."""

from billing.model.base import CLINIC, Base, ClinicRow, ClinicRowWithId, TableClass, Upkeep, check, references, unique
from billing.model.clinic import Clinic, ClinicCode, ClinicPlugin, Department
from billing.model.discount import DiscountCode, DiscountUse
from billing.model.invoice import Invoice, InvoiceAdjustment, InvoiceItem, InvoiceTax, SourceClaim
from billing.model.journal import Account, JournalLine, Period, Reminder, Takings
from billing.model.payer import Claim, ClaimPart, ClaimPayment, Coverage, Payer
from billing.model.payment import Effect, NumberCounter, NumberSeries, Payment, PaymentItem, Tender
from billing.model.people import Client, Consultation, Membership, Patient, Staff
from billing.model.price import Service, ServicePrice
from billing.model.record import AuditEntry, AuditHead, DocumentPrint, Event, IdempotencyKey, MigrationLock
from billing.model.reversal import Approval, Reversal, ReversalItem, ReversalTender
from billing.model.shift import CashMove, Shift, ShiftCount
from billing.model.types import canonical_json, new_id
from billing.model.wallet import Wallet, WalletMove

__all__ = [
    "CLINIC",
    "Account",
    "Approval",
    "AuditEntry",
    "AuditHead",
    "Base",
    "CashMove",
    "Claim",
    "ClaimPart",
    "ClaimPayment",
    "Client",
    "Clinic",
    "ClinicCode",
    "ClinicPlugin",
    "ClinicRow",
    "ClinicRowWithId",
    "Consultation",
    "Coverage",
    "Department",
    "DiscountCode",
    "DiscountUse",
    "DocumentPrint",
    "Effect",
    "Event",
    "IdempotencyKey",
    "Invoice",
    "InvoiceAdjustment",
    "InvoiceItem",
    "InvoiceTax",
    "JournalLine",
    "Membership",
    "MigrationLock",
    "NumberCounter",
    "NumberSeries",
    "Patient",
    "Payer",
    "Payment",
    "PaymentItem",
    "Period",
    "Reminder",
    "Reversal",
    "ReversalItem",
    "ReversalTender",
    "Service",
    "ServicePrice",
    "Shift",
    "ShiftCount",
    "SourceClaim",
    "Staff",
    "TableClass",
    "Takings",
    "Tender",
    "Upkeep",
    "Wallet",
    "WalletMove",
    "canonical_json",
    "check",
    "new_id",
    "references",
    "unique",
]
