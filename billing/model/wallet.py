"""Money that a client has left with the clinic: the wallet and its moves."""

from sqlalchemy import Index
from sqlalchemy.orm import Mapped, mapped_column

from billing.model.base import Base, ClinicRow, ClinicRowWithId, Upkeep, check, references, unique
from billing.model.types import Day, Id, IdType, Instant, Minor, Name, Whole


class Wallet(ClinicRow, Base):
    """A client's deposit, in minor units of the clinic's currency; never below nothing."""

    __tablename__ = "wallet"
    __table_args__ = (
        references("client", "client_id"),
        check("balance", "balance_minor >= 0"),
    )
    upkeep = Upkeep.CHANGED

    client_id: Mapped[str] = mapped_column(IdType, primary_key=True)
    balance_minor: Mapped[Minor]


class WalletMove(ClinicRowWithId, Base):
    """One movement of a wallet: signed amount, and the payment or reversal it belongs to (a top-up or pay-out: itself).

    A top-up and a pay-out have a receipt of the receipts' series, and say by which method money came or went.
    """

    __tablename__ = "wallet_move"
    __table_args__ = (
        references("wallet", "client_id", target="client_id"),
        references("shift", "shift_id"),
        unique("series", "receipt_period", "receipt_value", name="uq_wallet_move_receipt"),
        unique("client_id", "action_id", "kind", name="uq_wallet_move_action"),
        check("kind", "kind IN ('top_up', 'pay_out', 'payment', 'refund', 'void')"),
        check(
            "sign", "(kind IN ('top_up', 'refund', 'void') AND amount_minor > 0) OR (kind IN ('pay_out', 'payment') AND amount_minor < 0)"
        ),
        check("receipt", "(kind IN ('top_up', 'pay_out')) = (receipt_number IS NOT NULL)"),
        Index("ix_wallet_move_client", "clinic_id", "client_id", "id"),
        Index("ix_wallet_move_receipt_number", "clinic_id", "receipt_number"),
        Index("ix_wallet_move_shift", "clinic_id", "shift_id"),
    )
    upkeep = Upkeep.ADDED

    client_id: Mapped[Id]
    kind: Mapped[Name]
    amount_minor: Mapped[Minor]
    action_id: Mapped[Id]
    method: Mapped[Name | None]
    reference: Mapped[Name | None]
    tendered_minor: Mapped[Minor]
    change_minor: Mapped[Minor]
    rounding_minor: Mapped[Minor]
    series: Mapped[Name | None]
    receipt_period: Mapped[Name | None]
    receipt_value: Mapped[Whole | None]
    receipt_number: Mapped[Name | None]
    shift_id: Mapped[Id | None]
    reason: Mapped[Name]
    at: Mapped[Instant]
    business_date: Mapped[Day]
    done_by: Mapped[Id]
    person: Mapped[Name]
