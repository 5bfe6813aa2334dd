"""Which items a payment settles: an invoice may be paid in part, a department may not. It must not know tenders, tables or hooks.

The books of one invoice as its client sees them, in minor units of its currency: total and items are less the payer's part, and *on account*
is money that no settled item has used up yet.

    settled     = total - credited - unpaid items
    on account  = amount paid - settled        below 0 (arrears) only where a payer has rejected a part of settled items
    amount due  = total - amount paid - written off - credited
                = unpaid items - on account - written off

Why settling a scope whole can't leave money on account negative while nothing is written off: its due is the smaller of two amounts.
If that is its unpaid items, they are paid for by this payment alone, and what was on account stays. If it is the invoice's amount due,
nothing is due afterwards; then on account = the unpaid items of the other departments, which therefore are all settled too. So a payment
that leaves nothing due leaves no unpaid item. Once something is written off, money may be short for a scope: then it is refused.
Arrears are paid with ALL or on account; a department alone leaves them as they are.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from billing.errors import Invalid, Refused
from billing.rules.statuses import InvoiceAlreadyPaid, amount_due

_DEPARTMENT = re.compile(r"[a-z][a-z0-9_-]{0,39}")


class BadScope(Invalid):
    """A text or a choice of departments that is no scope. Facts: `text`."""

    code = "bad_scope"


class UnknownDepartment(Invalid):
    """The scope names a code that is no department of the clinic. Facts: `department`."""

    code = "unknown_department"


class NothingToPay(Refused):
    """All items of the scope are settled, but not all of the invoice. Facts: `scope`."""

    code = "nothing_to_pay"


class PartWrittenOff(Refused):
    """Part of the invoice was written off, so the money does not cover the scope whole. Facts: `scope`, `short_minor`."""

    code = "part_written_off"


class ScopeKind(StrEnum):
    """The three kinds of scope."""

    ALL = "ALL"
    ON_ACCOUNT = "ON_ACCOUNT"
    DEPARTMENTS = "DEPARTMENTS"


@dataclass(frozen=True, slots=True)
class Scope:
    """What a payment is for: all unpaid items, those of some departments, or an amount on account. Equal for any order of the codes."""

    kind: ScopeKind
    departments: tuple[str, ...] = ()

    @classmethod
    def all(cls) -> Self:
        """Ask for every unpaid item."""
        return cls(ScopeKind.ALL)

    @classmethod
    def on_account(cls) -> Self:
        """Ask for no department: an instalment."""
        return cls(ScopeKind.ON_ACCOUNT)

    @classmethod
    def of(cls, *departments: str) -> Self:
        """Ask for these departments, by code. Raises `BadScope` for none, and for what can't be a code."""
        text = ",".join(departments)
        if not departments:
            raise BadScope("A payment needs a scope: name a department, ALL or ON_ACCOUNT.", text=text)
        for code in departments:
            if not _DEPARTMENT.fullmatch(code) or code.upper() in (ScopeKind.ALL, ScopeKind.ON_ACCOUNT):
                sentence = f"{code[:40]!r} is no department code: name departments, split by commas, or one of ALL and ON_ACCOUNT."
                raise BadScope(sentence, text=text)
        return cls(ScopeKind.DEPARTMENTS, tuple(sorted(set(departments))))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `str` writes: "ALL", "ON_ACCOUNT" (in any case) or codes split by commas. Raises `BadScope`."""
        word = text.strip().upper()
        if word in (ScopeKind.ALL, ScopeKind.ON_ACCOUNT):
            return cls(ScopeKind(word))
        return cls.of(*(code.strip() for code in text.split(",")))

    def __str__(self) -> str:
        return ",".join(self.departments) or self.kind.value

    def names(self, department: str) -> bool:
        """Say whether the scope asks for the department, so that it is settled whatever stands before it in the clinic's order."""
        return self.kind is ScopeKind.ALL or department in self.departments


@dataclass(frozen=True, slots=True)
class OpenItem:
    """An item of an issued invoice as settling sees it. `total_minor` (0 or more) is what its client is still billed: less credit notes and payer.

    Paid items may be left out; an unpaid item that was credited away must be, for nothing of it may reach its department.
    """

    id: str
    department: str
    total_minor: int
    paid: bool


@dataclass(frozen=True, slots=True)
class Settlement:
    """What a payment does to its invoice. Amounts are those after it, but `due_minor`, which was due for the scope before it.

    Departments are in the clinic's order, items by department and then by id.
    """

    applied_minor: int
    item_ids: tuple[str, ...]
    departments: tuple[str, ...]
    amount_paid_minor: int
    amount_due_minor: int
    due_minor: int
    on_account_minor: int


def check_scope(scope: Scope, items: Iterable[OpenItem], *, department_order: Sequence[str]) -> None:
    """Raise `UnknownDepartment` for a code that is neither the clinic's nor that of an item (a department may have been retired)."""
    known = {*department_order, *(item.department for item in items)}
    for code in scope.departments:
        if code not in known:
            sentence = f"{code!r} is no department of this clinic: choose from {', '.join(sorted(known))}, or ALL."
            raise UnknownDepartment(sentence, department=code)


def due_for_scope(items: Iterable[OpenItem], scope: Scope, *, amount_due_minor: int) -> int:
    """Compute what has to be paid for the scope: the smaller of its unpaid items and the invoice's amount due.

    On account it is the most that can be taken, the amount due.
    Raises `InvoiceAlreadyPaid` if the invoice has no unpaid item and owes nothing, `NothingToPay` if the scope has none.
    """
    unpaid = [item for item in items if not item.paid]
    if not unpaid and amount_due_minor <= 0:
        raise InvoiceAlreadyPaid("This invoice is already paid: nothing is due, so look at its receipts.")
    if scope.kind is not ScopeKind.DEPARTMENTS:
        return amount_due_minor
    named = [item.total_minor for item in unpaid if scope.names(item.department)]
    if not named:
        left = ", ".join(sorted({item.department for item in unpaid})) or "arrears, which ALL pays"
        raise NothingToPay(f"Nothing is left to pay for {scope}: what is unpaid is in {left}.", scope=str(scope))
    return min(sum(named), amount_due_minor)


def settle(
    items: Iterable[OpenItem],
    *,
    scope: Scope,
    applied_minor: int,
    total_minor: int,
    amount_paid_minor: int,
    department_order: Sequence[str],
    written_off_minor: int = 0,
    credited_minor: int = 0,
) -> Settlement:
    """Say what a payment of `applied_minor` settles on an invoice of which `amount_paid_minor` was paid before.

    The departments that the scope names are settled whole. Then, after every payment, the others are, whole and strictly in the clinic's
    order, up to the first that the money on account does not cover; one that owes 0.00 is settled in its turn. Departments that are not
    in `department_order` come last, by code.

    For a scope `applied_minor` is exactly `due_for_scope`, on account above 0 and at most the amount due: the tenders are checked before,
    so anything else is a ValueError, as are books that do not add up.
    Raises `UnknownDepartment`, `InvoiceAlreadyPaid`, `NothingToPay`, `PartWrittenOff`.
    """
    items = tuple(items)
    check_scope(scope, items, department_order=department_order)
    amount_due_minor = amount_due(total_minor, amount_paid_minor, written_off_minor, credited_minor)
    due_minor = due_for_scope(items, scope, amount_due_minor=amount_due_minor)
    _check_applied(scope, applied_minor=applied_minor, due_minor=due_minor)

    unpaid = _unpaid_by_department(items, department_order)
    settled_before = total_minor - credited_minor - sum(_total(of_department) for of_department in unpaid.values())
    if settled_before < 0:
        raise ValueError(f"unpaid items are worth {-settled_before} more than the invoice")
    arrears = max(0, settled_before - amount_paid_minor)

    settled = {department for department in unpaid if scope.names(department)}
    on_account = amount_paid_minor + applied_minor - settled_before - sum(_total(unpaid[department]) for department in settled)
    if on_account < -arrears:
        sentence = f"Part of this invoice was written off, so {scope} can't be settled whole: take the money on account instead."
        raise PartWrittenOff(sentence, scope=str(scope), short_minor=-on_account - arrears)
    for department, of_department in unpaid.items():
        if department in settled:
            continue
        if _total(of_department) > on_account:
            break
        on_account -= _total(of_department)
        settled.add(department)

    return Settlement(
        applied_minor=applied_minor,
        item_ids=tuple(item.id for department in unpaid if department in settled for item in unpaid[department]),
        departments=tuple(department for department in unpaid if department in settled),
        amount_paid_minor=amount_paid_minor + applied_minor,
        amount_due_minor=amount_due_minor - applied_minor,
        due_minor=due_minor,
        on_account_minor=max(0, on_account),
    )


def _check_applied(scope: Scope, *, applied_minor: int, due_minor: int) -> None:
    least = 1 if scope.kind is ScopeKind.ON_ACCOUNT else due_minor
    if not least <= applied_minor <= due_minor:
        raise ValueError(f"{applied_minor} can't be applied to {scope}, for which {due_minor} is due")


def _unpaid_by_department(items: Iterable[OpenItem], department_order: Sequence[str]) -> dict[str, list[OpenItem]]:
    """Group the unpaid items by department, in the clinic's order, and by id within each, however they were given."""
    rank = {code: position for position, code in enumerate(department_order)}
    unpaid = sorted(
        (item for item in items if not item.paid),
        key=lambda item: (rank.get(item.department, len(rank)), item.department, item.id),
    )
    grouped: dict[str, list[OpenItem]] = {}
    for item in unpaid:
        grouped.setdefault(item.department, []).append(item)
    return grouped


def _total(items: Iterable[OpenItem]) -> int:
    return sum(item.total_minor for item in items)
