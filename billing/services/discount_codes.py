"""Discount codes: good for a percentage or an amount off an invoice, from one day until before another, and only so many times."""

from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import bindparam, select

from billing.changes.failures import explains
from billing.errors import Conflict, NotFound, Refused
from billing.model import CLINIC, DiscountCode, DiscountUse, new_id
from billing.model.writes import AdjustedRow, AdjustRows, ChangedRow, ChangeRows, InsertRows
from billing.money import check_amount
from billing.rules.discounting import BadDiscount, check_discount
from billing.services.discounts import give_by_code
from billing.services.inputs import MOST_ROWS, check_line
from billing.services.invoices import InvoiceMade, open_draft
from billing.transaction import Transaction
from billing.trips import Query, Row

CODE: Any = DiscountCode.__table__
USE: Any = DiscountUse.__table__
MOST_USES = 1_000_000


class UnknownCode(NotFound):
    """There is no such discount code in this clinic. Facts: `discount_code`."""

    code = "unknown_code"


class CodeNotValid(Refused):
    """The code is not good today: not yet, not any more, or it was ended. Facts: `discount_code`."""

    code = "code_not_valid"


@explains("uq_discount_code_code", "There is such a discount code already: choose another one.")
class CodeTaken(Conflict):
    """Another discount code of this clinic has this text."""

    code = "code_taken"


@explains("short:discount_code", "This discount code has been used as often as it may be.")
class CodeUsedUp(Conflict):
    """The code has no use left. Facts: `discount_code`, where it was known beforehand."""

    code = "code_used_up"


@explains("pk_discount_use", "This discount code was used on this invoice already; it is good for each invoice once.")
class CodeUsedHere(Conflict):
    """The code was used on this invoice before."""

    code = "code_used_here"


@dataclass(frozen=True, slots=True)
class CodeSeen:
    """A discount code as lists show it."""

    id: str
    code: str
    percent_bp: int | None
    amount_minor: int | None
    uses: int
    uses_left: int
    from_date: date | None
    until_date: date | None
    reason: str
    active: bool


_columns = (
    DiscountCode.id,
    DiscountCode.code,
    DiscountCode.percent_bp,
    DiscountCode.amount_minor,
    DiscountCode.uses,
    DiscountCode.uses_left,
    DiscountCode.from_date,
    DiscountCode.until_date,
    DiscountCode.reason,
    DiscountCode.active,
)
_LOCK_CODE = Query(
    select(*_columns).where(DiscountCode.clinic_id == CLINIC, DiscountCode.code == bindparam("code")).with_for_update(of=DiscountCode)
)


def add_code(
    tx: Transaction,
    *,
    code: str,
    reason: str,
    uses: int,
    percent_bp: int | None = None,
    amount_minor: int | None = None,
    from_date: date | None = None,
    until_date: date | None = None,
) -> CodeSeen:
    """Add a code that is good so many times, each invoice once, from `from_date` until before `until_date`. `reason` is printed on invoices.

    A use stays used, also if the invoice is cancelled or the discount taken off again. Raises `BadDiscount`, `CodeTaken`, `BadText`.
    """
    tx.require("discounts.manage")
    check_discount(percent_bp, amount_minor)
    if amount_minor is not None:
        check_amount(amount_minor)
    if not 1 <= uses <= MOST_USES:
        raise BadDiscount(f"A code is good for 1 to {MOST_USES} uses.", percent_bp=percent_bp, amount_minor=amount_minor)
    if from_date is not None and until_date is not None and until_date <= from_date:
        raise BadDiscount("The code would end before it begins.", percent_bp=percent_bp, amount_minor=amount_minor)
    seen = CodeSeen(
        new_id(), _text(code), percent_bp, amount_minor, uses, uses, from_date, until_date, check_line(reason, "The reason"), active=True
    )
    row = {name: getattr(seen, name) for name in CodeSeen.__dataclass_fields__}
    tx.write(InsertRows(CODE, [row | {"created_at": tx.at}]))
    tx.audit("discount_code.added", "discount_code", seen.id, code=seen.code, percent_bp=percent_bp, amount_minor=amount_minor, uses=uses)
    return seen


def end_code(tx: Transaction, *, code: str) -> None:
    """End a code: nobody can use it any more; what it gave stays. Raises `UnknownCode`."""
    tx.require("discounts.manage")
    row = _locked(tx, code)
    tx.write(ChangeRows(CODE, [ChangedRow({"id": row.id}, {}, {"active": False})]))
    tx.audit("discount_code.ended", "discount_code", row.id, code=row.code)


def list_codes(tx: Transaction, *, limit: int = 50, after: str | None = None) -> list[CodeSeen]:
    """Return a page of the codes in the order of their texts; `after` is the last text of the page before."""
    tx.require("discounts.manage")
    statement = select(*_columns).where(DiscountCode.clinic_id == CLINIC).order_by(DiscountCode.code).limit(min(limit, MOST_ROWS))
    if after is not None:
        statement = statement.where(DiscountCode.code > after)
    return [CodeSeen(**row) for row in tx.session.execute(statement, {"clinic_id": tx.clinic_id}).mappings()]


def redeem_code(tx: Transaction, *, invoice_id: str, code: str, version: int | None = None) -> InvoiceMade:
    """Give the discount of a code on a draft; it counts against no role's limit.

    Raises `UnknownCode`, `CodeNotValid`, `CodeUsedUp`, `CodeUsedHere`, `InvoiceNotDraft`, `InvoiceChanged`.
    """
    tx.require("invoices.create")
    draft = open_draft(tx, invoice_id, version)
    row = _locked(tx, code)
    started = row.from_date is None or row.from_date <= tx.business_date
    over = row.until_date is not None and row.until_date <= tx.business_date
    if not row.active or not started or over:
        raise CodeNotValid(f"The discount code {row.code} is not good today.", discount_code=row.code)
    if row.uses_left < 1:
        raise CodeUsedUp("This discount code has been used as often as it may be.", discount_code=row.code)
    tx.write(
        AdjustRows(CODE, [AdjustedRow({"id": row.id}, {"uses_left": -1}, {"uses_left": 0})]),
        InsertRows(
            USE,
            [{"code_id": row.id, "invoice_id": draft.opened.id, "used_by": tx.actor.id, "at": tx.at, "business_date": tx.business_date}],
        ),
    )
    tx.audit("discount_code.used", "discount_code", row.id, invoice_id=draft.opened.id)
    return give_by_code(
        tx,
        draft,
        code_id=row.id,
        reason=row.reason,
        percent_bp=row.percent_bp,
        amount_minor=row.amount_minor,
    )


def _text(code: str) -> str:
    return check_line(code, "The discount code", longest=40).upper()


def _locked(tx: Transaction, code: str) -> Row:
    row = tx.row(_LOCK_CODE, code=_text(code))
    if row is None:
        raise UnknownCode(f"There is no discount code {code[:40]!r} in this clinic.", discount_code=code)
    return row
