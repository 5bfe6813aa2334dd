"""What must hold of the journal: entries balance, every act of money has its own, and the books' figures are sums of its lines."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import ColumnElement, Select, Text, and_, case, cast, func, literal_column, or_, select, union_all

from billing.changes.declare import Invariant
from billing.model import (
    CLINIC,
    CashMove,
    Claim,
    ClaimPayment,
    Invoice,
    JournalLine,
    Payment,
    Reversal,
    Shift,
    Takings,
    Wallet,
    WalletMove,
)
from billing.rules import posting
from billing.rules.tenders import Method
from billing.services.listing import DUE

_CLIENTS = JournalLine.account == posting.CLIENTS
_OWED = JournalLine.account.in_([posting.CLIENTS, posting.PAYERS])
_CASH = JournalLine.account == posting.CASH
_ISSUED = Invoice.issued_at.is_not(None)
_UNPAID_WHEN_CANCELLED = and_(_ISSUED, Invoice.cancelled_at.is_not(None), Invoice.credited_minor == 0)


def _text(value: str) -> ColumnElement[str]:
    return literal_column(f"'{value}'", Text())


_ENTRIES: tuple[tuple[str, ColumnElement[bool], int, Any, Any, ColumnElement[bool] | None], ...] = (
    ("issue", _OWED, 1, Invoice, Invoice.total_minor, _ISSUED),
    ("cancel", _OWED, -1, Invoice, Invoice.total_minor, _UNPAID_WHEN_CANCELLED),
    ("payment", _CLIENTS, -1, Payment, Payment.applied_minor, None),
    ("void", _CLIENTS, 1, Reversal, Reversal.refunded_minor, Reversal.kind == "void"),
    ("refund", _CLIENTS, 1, Reversal, Reversal.refunded_minor, Reversal.kind != "void"),
    ("credit", _OWED, -1, Reversal, Reversal.credited_minor, None),
    ("write_off", _CLIENTS, -1, Reversal, Reversal.written_off_minor, None),
    ("top_up", JournalLine.account == posting.WALLET, -1, WalletMove, WalletMove.amount_minor, WalletMove.kind == "top_up"),
    ("pay_out", JournalLine.account == posting.WALLET, -1, WalletMove, WalletMove.amount_minor, WalletMove.kind == "pay_out"),
    ("claim_paid", JournalLine.account == posting.PAYERS, -1, ClaimPayment, ClaimPayment.amount_minor, None),
    ("shift_opened", _CASH, 1, Shift, Shift.float_minor, None),
    ("paid_in", _CASH, 1, CashMove, CashMove.amount_minor, CashMove.kind == "paid_in"),
    ("paid_out", _CASH, -1, CashMove, CashMove.amount_minor, CashMove.kind == "paid_out"),
    ("hand_over", and_(_CASH, JournalLine.amount_minor > 0), 1, CashMove, CashMove.amount_minor, CashMove.status == "accepted"),
)
"""Of each kind of entry: the lines that say how much it is about, and with which sign; the table of its acts, their amount, and which have one."""


def _sides() -> Iterable[Select[*tuple[Any, ...]]]:
    """Return what stands in the journal, and below zero what should, by kind and act: where both agree they sum to nothing."""
    for kind, lines, sign, table, amount, which in _ENTRIES:
        yield (
            select(
                _text(kind).label("kind"), JournalLine.action_id.label("action_id"), (JournalLine.amount_minor * sign).label("amount_minor")
            ).where(JournalLine.clinic_id == CLINIC, JournalLine.kind == kind, lines)
        )
        acts = select(_text(kind), table.id, -amount).where(table.clinic_id == CLINIC)
        yield acts if which is None else acts.where(which)


def _differing(name: str, sentence: str, *sides: Select[*tuple[Any, ...]]) -> Invariant:
    """Return the rule that by their first columns the sides' last ones sum to nothing."""
    both = union_all(*sides).subquery("both_sides")
    *by, amount = both.c
    return Invariant(name, sentence, select(*by, func.sum(amount).label("difference_minor")).group_by(*by).having(func.sum(amount) != 0))


def _on(account: str, whose: Any) -> Select[Any]:
    lines = select(whose.label("whose"), JournalLine.amount_minor.label("amount_minor"))
    return lines.where(JournalLine.clinic_id == CLINIC, JournalLine.account == account)


JOURNAL = (
    Invariant(
        "journal_balances",
        "The lines of every entry sum to nothing.",
        select(JournalLine.kind, JournalLine.action_id, func.sum(JournalLine.amount_minor).label("amount_minor"))
        .where(JournalLine.clinic_id == CLINIC)
        .group_by(JournalLine.kind, JournalLine.action_id)
        .having(func.sum(JournalLine.amount_minor) != 0),
    ),
    _differing("journal_complete", "Every act of money has its entry, over its amount, and every entry its act.", *_sides()),
    _differing(
        "journal_agrees_with_receivables",
        "What the journal says that a client owes is the sum of what is due of the client's invoices.",
        _on(posting.CLIENTS, JournalLine.client_id),
        select(Invoice.client_id, -DUE).where(Invoice.clinic_id == CLINIC, _ISSUED, Invoice.cancelled_at.is_(None)),
    ),
    _differing(
        "journal_agrees_with_claims",
        "What the journal says that a payer owes is the sum of what is open of the claims.",
        _on(posting.PAYERS, JournalLine.payer_id),
        select(Claim.payer_id, Claim.paid_minor + Claim.rejected_minor - Claim.amount_minor).where(Claim.clinic_id == CLINIC),
    ),
    _differing(
        "journal_agrees_with_wallets",
        "What the journal says that is in a client's wallet is its balance.",
        _on(posting.WALLET, JournalLine.client_id),
        select(Wallet.client_id, Wallet.balance_minor).where(Wallet.clinic_id == CLINIC),
    ),
)
"""The journal's invariants."""


def takings_are_the_journal(methods: Iterable[Method]) -> Invariant:
    """Return the rule about takings: a method's account is what the method declares."""
    accounts = {each.code: posting.account_of(each) for each in methods}
    own = {f"method:{code}": account for code, account in accounts.items() if account != f"method:{code}"}
    by_method = case(*((Takings.method == code, _text(account)) for code, account in accounts.items()), else_="method:" + Takings.method)
    # Money that a migration has booked is on its method's own account, also where the method is cash.
    account = case(*((JournalLine.account == written, _text(meant)) for written, meant in own.items()), else_=JournalLine.account)
    takes_wallets = JournalLine.kind.in_(["payment", "void", "refund"])
    money = or_(_CASH, JournalLine.account.startswith("method:"), and_(JournalLine.account == posting.WALLET, takes_wallets))
    kinds = JournalLine.kind.in_(["payment", "void", "refund", "top_up", "pay_out"])
    return _differing(
        "takings_are_the_journal",
        "What was taken on a day, by each method and kind of act, is what the journal says.",
        select(
            Takings.business_date.label("business_date"),
            Takings.kind.label("kind"),
            cast(by_method, Text).label("account"),
            Takings.amount_minor.label("amount_minor"),
        ).where(Takings.clinic_id == CLINIC),
        select(JournalLine.business_date, JournalLine.kind, cast(account, Text), -JournalLine.amount_minor).where(
            JournalLine.clinic_id == CLINIC, kinds, money
        ),
    )
