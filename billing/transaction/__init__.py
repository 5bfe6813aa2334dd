"""The open transaction: its handle `tx`, and the clinic and actor that it acts for."""

from billing.transaction.context import NOBODY, Actor, ClinicFacts, DepartmentFacts, SeriesFacts, UnknownActor, UnknownClinic
from billing.transaction.handle import NoClinic, PermissionMissing, Transaction

__all__ = [
    "NOBODY",
    "Actor",
    "ClinicFacts",
    "DepartmentFacts",
    "NoClinic",
    "PermissionMissing",
    "SeriesFacts",
    "Transaction",
    "UnknownActor",
    "UnknownClinic",
]
