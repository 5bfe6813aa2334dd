"""The open transaction: its handle `tx`, and the clinic and actor that it acts for."""

from billing.transaction.context import NOBODY, Actor, ClinicFacts, DepartmentFacts, SeriesFacts, UnknownActor, UnknownClinic
from billing.transaction.handle import SEAL, NoClinic, PermissionMissing, Transaction

__all__ = [
    "NOBODY",
    "SEAL",
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
