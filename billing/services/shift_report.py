"""The Z-report: what a shift took and gave, what it should hold, what was counted. Kept with the shift as it was at closing."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, func, select

from billing.errors import NotFound
from billing.model import CLINIC, AuditHead, JournalLine, Payment, Reversal, Shift
from billing.model.types import IdType
from billing.rules import posting
from billing.services.inputs import canonical_id
from billing.transaction import Transaction
from billing.trips import Query, Row

_SHIFT_ID = bindparam("shift_id", type_=IdType())
_SUMS = Query(
    select(
        JournalLine.account,
        JournalLine.kind,
        func.sum(JournalLine.amount_minor).label("amount_minor"),
        func.count(JournalLine.action_id.distinct()).label("acts"),
    )
    .where(JournalLine.clinic_id == CLINIC, JournalLine.shift_id == _SHIFT_ID)
    .group_by(JournalLine.account, JournalLine.kind)
    .order_by(JournalLine.account, JournalLine.kind)
)


def _receipt(*order: Any) -> Any:
    of_shift = select(Payment.receipt_number).where(Payment.clinic_id == CLINIC, Payment.shift_id == _SHIFT_ID)
    return of_shift.order_by(*order).limit(1).offset(0).scalar_subquery()


_RECEIPTS = Query(
    select(func.count().label("receipts"), _receipt(Payment.id).label("first"), _receipt(Payment.id.desc()).label("last")).where(
        Payment.clinic_id == CLINIC, Payment.shift_id == _SHIFT_ID
    )
)
_REVERSALS = Query(
    select(Reversal.at, Reversal.kind, Reversal.refunded_minor, Reversal.reason, Reversal.person, Reversal.approved_by)
    .where(Reversal.clinic_id == CLINIC, Reversal.shift_id == _SHIFT_ID)
    .order_by(Reversal.at, Reversal.id)
)
_ANCHOR = Query(select(AuditHead.position, AuditHead.hash).where(AuditHead.clinic_id == CLINIC))
_SHIFT = Query(select(*Shift.__table__.columns).where(Shift.clinic_id == CLINIC, Shift.id == _SHIFT_ID))


class NoSuchReport(NotFound):
    """There is no such shift in this clinic that the actor may see. Facts: `shift`."""

    code = "no_such_report"


@dataclass(frozen=True, slots=True)
class ShiftReport:
    """The Z-report. Minor units of `currency`. `moves` are sums by method and kind of act; `counts` are None while nobody has counted.

    `expected` by method is what the journal says that the shift holds. `anchor` is the end of the audit chain when it was made.
    """

    shift_id: str
    kind: str
    cashier: str
    drawer: str
    currency: str
    opened_at: str
    closed_at: str | None
    float_minor: int
    moves: tuple[dict[str, Any], ...]
    expected: dict[str, int] | None
    counted: dict[str, int] | None
    denominations: dict[str, int]
    receipts: int
    first_receipt: str | None
    last_receipt: str | None
    reversals: tuple[dict[str, Any], ...]
    anchor: dict[str, Any]

    @property
    def differences(self) -> dict[str, int]:
        """What was counted above (or, below 0, under) what should be there, by method."""
        expected = self.expected or {}
        return {method: amount - expected[method] for method, amount in (self.counted or {}).items()}

    def stored(self) -> dict[str, Any]:
        """Return the report as it is kept."""
        found: dict[str, Any] = {name: getattr(self, name) for name in self.__slots__}
        return found | {"moves": list(self.moves), "reversals": list(self.reversals)}


@dataclass(frozen=True, slots=True)
class Figures:
    """What the books say of a shift, before it is counted."""

    row: Row
    sums: tuple[Row, ...]
    receipts: Row
    reversals: tuple[Row, ...]
    anchor: Row

    @property
    def expected(self) -> dict[str, int]:
        """What the shift should hold by method; cash always."""
        found = {posting.CASH: 0}
        for each in self.sums:
            method = each.account.removeprefix("method:")
            found[method] = found.get(method, 0) + int(each.amount_minor)
        return found

    def closed(self, tx: Transaction, *, counts: Mapping[str, int], denominations: Mapping[int, int]) -> ShiftReport:
        """Return the report of the shift as it is being closed."""
        kept = {str(value): number for value, number in sorted(denominations.items())}
        return self.report(tx, closed_at=tx.at.isoformat(), expected=self.expected, counted=dict(counts), denominations=kept)

    def report(
        self,
        tx: Transaction,
        *,
        closed_at: str | None = None,
        expected: dict[str, int] | None,
        counted: dict[str, int] | None = None,
        denominations: dict[str, int] | None = None,
    ) -> ShiftReport:
        """Return the report; without `expected` a blind one, in which no sum tells what should be there."""
        moves = [
            {"method": each.account.removeprefix("method:"), "kind": each.kind, "amount_minor": int(each.amount_minor), "acts": each.acts}
            for each in self.sums
        ]
        return ShiftReport(
            shift_id=self.row.id,
            kind=self.row.kind,
            cashier=self.row.cashier,
            drawer=self.row.drawer,
            currency=tx.clinic.currency.code,
            opened_at=self.row.opened_at.isoformat(),
            closed_at=closed_at,
            float_minor=self.row.float_minor,
            moves=tuple(moves) if expected is not None else (),
            expected=expected,
            counted=counted,
            denominations=denominations or {},
            receipts=self.receipts.receipts,
            first_receipt=self.receipts.first,
            last_receipt=self.receipts.last,
            reversals=tuple(each._asdict() | {"at": each.at.isoformat()} for each in self.reversals),
            anchor={"position": self.anchor.position, "hash": self.anchor.hash},
        )


def cash_of_shift(tx: Transaction, shift_id: str) -> int:
    """Return what a shift's drawer should hold, in minor units: for those who need not count it."""
    tx.require("shifts.work")
    return sum(int(row.amount_minor) for row in tx.rows(_SUMS, shift_id=shift_id) if row.account == posting.CASH)


def read_figures(tx: Transaction, row: Row) -> Figures:
    """Return what the books say of a shift, as they are now."""
    of_shift = {"shift_id": row.id}
    sums, (receipts,), reversals, (anchor,) = tx.trip((_SUMS, of_shift), (_RECEIPTS, of_shift), (_REVERSALS, of_shift), (_ANCHOR, {}))
    return Figures(row, tuple(sums), receipts, tuple(reversals), anchor)


def read_shift_report(tx: Transaction, *, shift_id: str | None = None) -> ShiftReport:
    """Return the report of a shift (default: one's own open one): the kept one of a closed shift, else what is known now.

    Of one's own open shift the expected figures are left out where the clinic counts blind (policy `expected_is_blind`).
    Others' need `shifts.read`. Raises `NoSuchReport`.
    """
    tx.require("invoices.read")
    own = tx.actor.shift.id if tx.actor.shift else None
    wanted = canonical_id(shift_id) if shift_id is not None else own
    row = tx.row(_SHIFT, shift_id=wanted) if wanted is not None else None
    reads_all = "shifts.read" in tx.actor.permissions
    if row is None or not (reads_all or row.cashier_id == tx.actor.id):
        raise NoSuchReport("There is no such shift here, or you have none open: `billing shift list` shows yours.", shift=shift_id)
    if row.report is not None:
        return ShiftReport(**row.report | {"moves": tuple(row.report["moves"]), "reversals": tuple(row.report["reversals"])})
    figures = read_figures(tx, row)
    blind = row.cashier_id == tx.actor.id and bool(tx.clinic.policy.get("expected_is_blind", True))
    return figures.report(tx, expected=None if blind else figures.expected)
