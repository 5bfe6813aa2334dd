"""What must always hold of wallets and of discount codes: balances are sums of moves, each move has its act, and no code is used too often."""

from sqlalchemy import and_, exists, func, or_, select, union_all

from billing.changes.declare import Invariant
from billing.model import (
    CLINIC,
    DiscountCode,
    DiscountUse,
    InvoiceAdjustment,
    Payment,
    Reversal,
    ReversalTender,
    Tender,
    Wallet,
    WalletMove,
)
from billing.rules.tenders import CORE_METHODS

_WALLETS = [code for code, method in CORE_METHODS.items() if method.moves_wallet]
_BALANCES = union_all(
    select(WalletMove.client_id.label("client_id"), WalletMove.amount_minor.label("amount_minor")).where(WalletMove.clinic_id == CLINIC),
    select(Wallet.client_id, -Wallet.balance_minor).where(Wallet.clinic_id == CLINIC),
).subquery("balances")
_OF_ACTS = union_all(
    select(WalletMove.action_id.label("action_id"), WalletMove.amount_minor.label("amount_minor")).where(
        WalletMove.clinic_id == CLINIC, WalletMove.kind.in_(["payment", "refund", "void"])
    ),
    select(Payment.id, Tender.amount_minor)
    .join(Tender, and_(Tender.clinic_id == Payment.clinic_id, Tender.payment_id == Payment.id))
    .where(Payment.clinic_id == CLINIC, Tender.method.in_(_WALLETS)),
    select(Reversal.id, -ReversalTender.amount_minor)
    .join(ReversalTender, and_(ReversalTender.clinic_id == Reversal.clinic_id, ReversalTender.reversal_id == Reversal.id))
    .where(Reversal.clinic_id == CLINIC, ReversalTender.method.in_(_WALLETS)),
).subquery("of_acts")
_USES = (
    select(DiscountUse.code_id, func.count().label("uses"))
    .where(DiscountUse.clinic_id == CLINIC)
    .group_by(DiscountUse.code_id)
    .subquery("code_uses")
)
_USED = func.coalesce(_USES.c.uses, 0)
_USED_HERE = exists(
    select(DiscountUse.code_id).where(
        DiscountUse.clinic_id == CLINIC,
        DiscountUse.code_id == InvoiceAdjustment.code_id,
        DiscountUse.invoice_id == InvoiceAdjustment.invoice_id,
    )
)

WALLETS = (
    Invariant(
        "wallet_is_its_moves",
        "A wallet holds the sum of its moves.",
        select(_BALANCES.c.client_id, func.sum(_BALANCES.c.amount_minor).label("difference_minor"))
        .group_by(_BALANCES.c.client_id)
        .having(func.sum(_BALANCES.c.amount_minor) != 0),
    ),
    Invariant(
        "wallet_moves_are_their_acts",
        "What payments took from wallets, and what was given back to them, is what was moved for it.",
        select(_OF_ACTS.c.action_id, func.sum(_OF_ACTS.c.amount_minor).label("difference_minor"))
        .group_by(_OF_ACTS.c.action_id)
        .having(func.sum(_OF_ACTS.c.amount_minor) != 0),
    ),
    Invariant(
        "wallet_receipt_adds_up",
        "What was handed over for a wallet, less change and cash rounding, is what it got; what was paid out, less rounding, is what it gave.",
        select(WalletMove.id, WalletMove.receipt_number).where(
            WalletMove.clinic_id == CLINIC,
            WalletMove.kind.in_(["top_up", "pay_out"]),
            or_(
                WalletMove.tendered_minor - WalletMove.change_minor - WalletMove.rounding_minor != func.abs(WalletMove.amount_minor),
                WalletMove.change_minor < 0,
                WalletMove.action_id != WalletMove.id,
            ),
        ),
    ),
    Invariant(
        "discount_code_uses",
        "A discount code has as many uses less as it was used.",
        select(DiscountCode.id, DiscountCode.code, DiscountCode.uses, DiscountCode.uses_left, _USED.label("used"))
        .outerjoin(_USES, _USES.c.code_id == DiscountCode.id)
        .where(DiscountCode.clinic_id == CLINIC, DiscountCode.uses - DiscountCode.uses_left != _USED),
    ),
    Invariant(
        "discount_of_a_used_code",
        "A discount by a code stands on an invoice that the code was used on.",
        select(InvoiceAdjustment.id, InvoiceAdjustment.invoice_id).where(
            InvoiceAdjustment.clinic_id == CLINIC, InvoiceAdjustment.code_id.is_not(None), ~_USED_HERE
        ),
    ),
    Invariant(
        "discount_approved_by_another",
        "Nobody has approved a discount of their own.",
        select(InvoiceAdjustment.id, InvoiceAdjustment.invoice_id).where(
            InvoiceAdjustment.clinic_id == CLINIC, InvoiceAdjustment.approved_by == InvoiceAdjustment.given_by
        ),
    ),
)
"""The invariants of wallets and discount codes."""
