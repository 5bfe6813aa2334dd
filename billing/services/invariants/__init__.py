"""What must always hold in a clinic's books: as selects that return the rows which break it, and as checks in code where a select can't say it.

They judge and mend nothing. They know the tables and the rules, not who asks.
"""

from billing.services.invariants.code import CODE_CHECKS, CodeCheck
from billing.services.invariants.departments import of_departments
from billing.services.invariants.invoices import INVOICES
from billing.services.invariants.journal import JOURNAL
from billing.services.invariants.numbers import NUMBERS
from billing.services.invariants.payments import PAYMENTS
from billing.services.invariants.prices import PRICES
from billing.services.invariants.records import RECORDS
from billing.services.invariants.shifts import SHIFTS
from billing.services.invariants.tables import of_tables
from billing.services.invariants.wallets import WALLETS

CORE = (*INVOICES, *PAYMENTS, *NUMBERS, *PRICES, *RECORDS, *JOURNAL, *SHIFTS, *WALLETS)
"""The core's invariants that are the same for every clinic and installation."""

__all__ = ["CODE_CHECKS", "CORE", "CodeCheck", "of_departments", "of_tables"]
