"""Tables: columns, keys and constraints, one file per noun. They know nothing of services, sessions or plugins."""

from billing.model.base import CLINIC, Base, ClinicRow, ClinicRowWithId, TableClass, Upkeep, check, references, unique
from billing.model.clinic import Clinic, ClinicCode, ClinicPlugin, Department
from billing.model.invoice import Invoice, InvoiceAdjustment, InvoiceItem, InvoiceTax, SourceClaim
from billing.model.payment import Effect, NumberCounter, NumberSeries, Payment, PaymentItem, Tender
from billing.model.people import Client, Consultation, Membership, Patient, Staff
from billing.model.price import Service, ServicePrice
from billing.model.record import AuditEntry, AuditHead, DocumentPrint, Event, IdempotencyKey, MigrationLock
from billing.model.types import canonical_json, new_id

__all__ = [
    "CLINIC",
    "AuditEntry",
    "AuditHead",
    "Base",
    "Client",
    "Clinic",
    "ClinicCode",
    "ClinicPlugin",
    "ClinicRow",
    "ClinicRowWithId",
    "Consultation",
    "Department",
    "DocumentPrint",
    "Effect",
    "Event",
    "IdempotencyKey",
    "Invoice",
    "InvoiceAdjustment",
    "InvoiceItem",
    "InvoiceTax",
    "Membership",
    "MigrationLock",
    "NumberCounter",
    "NumberSeries",
    "Patient",
    "Payment",
    "PaymentItem",
    "Service",
    "ServicePrice",
    "SourceClaim",
    "Staff",
    "TableClass",
    "Tender",
    "Upkeep",
    "canonical_json",
    "check",
    "new_id",
    "references",
    "unique",
]
