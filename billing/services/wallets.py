"""Wallets: money that clients leave with the clinic. Topped up and paid out with a receipt, never below nothing, every move on the statement.

The balance is the sum of its moves. Payments and refunds move it in their own write (`wallet_rows`); here are the acts of the wallet itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import date, datetime

from sqlalchemy import and_, bindparam, select

from billing import registry
from billing.errors import Invalid
from billing.model import CLINIC, Client, Wallet, WalletMove, new_id
from billing.model.types import NIL_ID, DayType, IdType
from billing.model.writes import Number, NumberText, NumberValue
from billing.money import MAX_AMOUNT_MINOR, round_cash
from billing.rules import posting
from billing.rules.tenders import BadPaymentAmount, Method, Tender, Tendered, UnknownMethod, check_tenders
from billing.services.approvals import APPROVALS, decide
from billing.services.inputs import canonical_id, check_line
from billing.services.journal import post
from billing.services.keys import Key
from billing.services.numbering import next_number
from billing.services.patients import UnknownClient
from billing.services.takings import add_takings
from billing.services.tills import till
from billing.services.wallet_rows import WalletTooLow, move_wallet
from billing.transaction import Transaction
from billing.trips import Query


class BadRange(Invalid):
    """The range of days ends before it begins. Facts: `from_date`, `until_date`."""

    code = "bad_range"


@dataclass(frozen=True, slots=True)
class WalletMoved:
    """A top-up or pay-out. `amount_minor` is what the wallet got (below zero: gave); handed over were `tendered_minor`, less the change."""

    id: str
    client_id: str
    kind: str
    currency: str
    method: str
    amount_minor: int
    tendered_minor: int
    change_minor: int
    rounding_minor: int
    business_date: str
    replayed: bool = False
    numbered: Number | str = ""

    @property
    def receipt_number(self) -> str:
        """The receipt's printed number; known once the unit has committed."""
        return self.numbered.text if isinstance(self.numbered, Number) else self.numbered


@dataclass(frozen=True, slots=True)
class WalletView:
    """What a client has left with the clinic, in minor units."""

    client_id: str
    currency: str
    balance_minor: int


@dataclass(frozen=True, slots=True)
class StatementLine:
    """A movement on a statement, with the balance after it. `action_id` is the payment or the reversal that it belongs to."""

    at: datetime
    business_date: date
    kind: str
    amount_minor: int
    balance_minor: int
    method: str | None
    receipt_number: str | None
    reason: str
    person: str
    action_id: str


@dataclass(frozen=True, slots=True)
class WalletStatement:
    """A wallet's moves in a range of days, both ends included, from the balance before to the balance after."""

    client_id: str
    currency: str
    from_date: date | None
    until_date: date | None
    opening_minor: int
    closing_minor: int
    lines: tuple[StatementLine, ...]


_of_client = bindparam("client_id", type_=IdType())
_CLIENT = Query(
    select(Client.id, Wallet.balance_minor)
    .outerjoin(Wallet, and_(Wallet.clinic_id == Client.clinic_id, Wallet.client_id == Client.id))
    .where(Client.clinic_id == CLINIC, Client.id == _of_client)
)
_MOVES = Query(
    select(
        WalletMove.at,
        WalletMove.business_date,
        WalletMove.kind,
        WalletMove.amount_minor,
        WalletMove.method,
        WalletMove.receipt_number,
        WalletMove.reason,
        WalletMove.person,
        WalletMove.action_id,
    )
    .where(
        WalletMove.clinic_id == CLINIC, WalletMove.client_id == _of_client, WalletMove.business_date <= bindparam("until", type_=DayType())
    )
    .order_by(WalletMove.business_date, WalletMove.at, WalletMove.id)
)
_RECEIPT = Query(
    select(WalletMove.receipt_number).where(WalletMove.clinic_id == CLINIC, WalletMove.id == bindparam("move_id", type_=IdType()))
)


def top_up(
    tx: Transaction,
    *,
    client_id: str,
    tender: Tender,
    amount_minor: int | None = None,
    reason: str = "",
    series: str | None = None,
    key: str | None = None,
) -> WalletMoved:
    """Put money into a client's wallet. `amount_minor` is how much of the tender stays (the rest is change); all of it where it is not given.

    It has a receipt of the receipts' series, and joins the actor's shift. Raises what `check_tenders` raises, `UnknownClient`, `NoShift`.
    """
    tx.require("wallets.use")
    client, text = _client_id(client_id), check_line(reason, "The reason", empty=True)
    check_line(tender.reference or "", "The reference", empty=True)
    request = {
        "client": client,
        "tender": [tender.method, tender.amount_minor, tender.reference],
        "amount_minor": amount_minor,
        "reason": text,
    }
    asked = Key(key, "wallet.top_up", request | {"series": series})
    if (before := _begin(tx, asked, client)) is not None:
        return before
    methods, amount = _money_methods(tx), tender.amount_minor if amount_minor is None else amount_minor
    if amount <= 0:
        raise BadPaymentAmount("What goes into a wallet is above zero.", amount_minor=amount)
    tendered = check_tenders(
        [tender], due_minor=amount, methods=methods, currency=tx.clinic.currency, on_account=True, applied_minor=amount_minor
    )
    return _move(tx, asked, client, "top_up", methods[tender.method], tendered, reference=tender.reference, reason=text, series=series)


def pay_out(
    tx: Transaction,
    *,
    client_id: str,
    amount_minor: int,
    method: str,
    reason: str,
    reference: str | None = None,
    series: str | None = None,
    key: str | None = None,
) -> WalletMoved:
    """Give a client money out of the wallet; it needs the same consent as a refund (`billing approve pay-out`).

    Cash is rounded to what coins can pay. Raises `ApprovalMissing`, `WalletTooLow`, `UnknownMethod`, `UnknownClient`, `NoShift`.
    """
    tx.require("payments.reverse")
    client, text = _client_id(client_id), check_line(reason, "The reason")
    check_line(reference or "", "The reference", empty=True)
    request = {"client": client, "amount_minor": amount_minor, "method": method, "reference": reference, "reason": text, "series": series}
    asked = Key(key, "wallet.pay_out", request)
    if (before := _begin(tx, asked, client)) is not None:
        return before
    methods = _money_methods(tx)
    if method not in methods:
        raise UnknownMethod(f"{method[:40]!r} gives no money out: choose from {', '.join(sorted(methods))}.", method=method)
    if not 0 < amount_minor <= MAX_AMOUNT_MINOR:
        raise BadPaymentAmount("What is paid out of a wallet is above zero.", amount_minor=amount_minor)
    approvals = tx.rows(APPROVALS, permission="payments.refund", subject_id=client)
    approved = decide(tx, approvals, permission="payments.refund", subject_id=client, amount_minor=amount_minor)
    chosen = methods[method]
    handed = round_cash(amount_minor, tx.clinic.currency) if chosen.rounds_cash else amount_minor
    tendered = Tendered(applied_minor=amount_minor, tendered_minor=handed, change_minor=0, rounding_minor=handed - amount_minor)
    moved = _move(tx, asked, client, "pay_out", chosen, tendered, reference=reference, reason=text, series=series)
    approved.use(tx, used_for=moved.id)
    return moved


def read_wallet(tx: Transaction, *, client_id: str) -> WalletView:
    """Return what a client has in the wallet; nothing for one who never had any. Raises `UnknownClient`."""
    tx.require("wallets.read")
    client = _client_id(client_id)
    return WalletView(client, tx.clinic.currency.code, _balance(tx, client))


def wallet_statement(tx: Transaction, *, client_id: str, from_date: date | None = None, until_date: date | None = None) -> WalletStatement:
    """Return a wallet's moves from one business day to another, both included, in their order. Raises `UnknownClient`, `BadRange`."""
    tx.require("wallets.read")
    client = _client_id(client_id)
    if from_date is not None and until_date is not None and until_date < from_date:
        raise BadRange("The last day lies before the first one.", from_date=from_date.isoformat(), until_date=until_date.isoformat())
    _balance(tx, client)
    balance, opening, lines = 0, 0, list[StatementLine]()
    for row in tx.rows(_MOVES, client_id=client, until=until_date or date.max):
        balance += row.amount_minor
        if from_date is not None and row.business_date < from_date:
            opening = balance
            continue
        lines.append(
            StatementLine(
                row.at,
                row.business_date,
                row.kind,
                row.amount_minor,
                balance,
                row.method,
                row.receipt_number,
                row.reason,
                row.person,
                row.action_id,
            )
        )
    return WalletStatement(client, tx.clinic.currency.code, from_date, until_date, opening, balance, tuple(lines))


def _client_id(client_id: str) -> str:
    known = canonical_id(client_id)
    if known is None:
        raise _unknown(client_id)
    return known


def _unknown(client_id: str) -> UnknownClient:
    return UnknownClient(f"There is no client {client_id[:60]!r} in this clinic.", client=client_id)


def _balance(tx: Transaction, client_id: str) -> int:
    row = tx.row(_CLIENT, client_id=client_id)
    if row is None:
        raise _unknown(client_id)
    return row.balance_minor or 0


def _begin(tx: Transaction, asked: Key, client_id: str) -> WalletMoved | None:
    """Claim the key and look for the client; return what was answered under the key before."""
    claims = asked.claim(tx)
    *claimed, clients = tx.trip(*claims, (_CLIENT, {"client_id": client_id}))
    if claims and (answer := asked.answer_before(tx, claimed[0])) is not None:
        row = tx.row(_RECEIPT, move_id=answer["id"])
        assert row is not None, "a stored answer names a move that stands"
        return WalletMoved(**answer, replayed=True, numbered=row.receipt_number)
    if not clients:
        raise _unknown(client_id)
    return None


def _money_methods(tx: Transaction) -> Mapping[str, Method]:
    """Return the methods by which money comes in from outside and goes out."""
    return {code: method for code, method in registry.of(tx).methods(tx.clinic).items() if not method.moves_wallet}


def _move(
    tx: Transaction,
    asked: Key,
    client_id: str,
    kind: str,
    method: Method,
    tendered: Tendered,
    *,
    reference: str | None,
    reason: str,
    series: str | None,
) -> WalletMoved:
    sign = 1 if kind == "top_up" else -1
    number, shift_id, move_id = next_number(tx, kind="receipt", series=series), till(tx, cash=method.rounds_cash), new_id()
    handed = tendered.tendered_minor - tendered.change_minor
    moved = WalletMoved(
        id=move_id,
        client_id=client_id,
        kind=kind,
        currency=tx.clinic.currency.code,
        method=method.code,
        amount_minor=sign * tendered.applied_minor,
        tendered_minor=tendered.tendered_minor,
        change_minor=tendered.change_minor,
        rounding_minor=tendered.rounding_minor,
        business_date=tx.business_date.isoformat(),
        numbered=number,
    )
    move_wallet(
        tx,
        client_id=client_id,
        kind=kind,
        amount_minor=moved.amount_minor,
        action_id=move_id,
        id=move_id,
        method=method.code,
        reference=reference,
        tendered_minor=tendered.tendered_minor,
        change_minor=tendered.change_minor,
        rounding_minor=tendered.rounding_minor,
        series=number.series,
        receipt_period=number.period,
        receipt_value=NumberValue(number),
        receipt_number=NumberText(number),
        shift_id=shift_id,
        reason=reason,
    )
    lines = posting.topped_up(
        [(posting.account_of(method), sign * handed)],
        amount_minor=moved.amount_minor,
        rounding_minor=sign * tendered.rounding_minor,
        client_id=client_id,
        shift_id=shift_id,
    )
    post(tx, kind, move_id, lines)
    add_takings(tx, kind, {("", NIL_ID, method.code): sign * handed})
    act = "wallet.topped_up" if kind == "top_up" else "wallet.paid_out"
    tx.audit(act, "wallet_move", move_id, number=number, client_id=client_id, amount_minor=moved.amount_minor, method=method.code)
    tx.emit(act, move_id, client_id=client_id, amount_minor=moved.amount_minor)
    asked.keep(tx, {each.name: getattr(moved, each.name) for each in fields(moved) if each.name not in {"numbered", "replayed"}})
    return moved


__all__ = [
    "BadRange",
    "StatementLine",
    "WalletMoved",
    "WalletStatement",
    "WalletTooLow",
    "WalletView",
    "pay_out",
    "read_wallet",
    "top_up",
    "wallet_statement",
]
