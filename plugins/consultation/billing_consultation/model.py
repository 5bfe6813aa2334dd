"""The tables of the consultation department: which services are visits, what they cost, who shares, who may come again. No rules here."""

from sqlalchemy import Index, text
from sqlalchemy.orm import Mapped, mapped_column

from billing.plugin import (
    Base,
    ClinicRow,
    ClinicRowWithId,
    Day,
    Flag,
    Id,
    Instant,
    Minor,
    Name,
    Upkeep,
    Whole,
    check,
    references,
    types,
    unique,
)

_OF_A_PROVIDER = text("provider_id IS NOT NULL")
_OF_ANY_PROVIDER = text("provider_id IS NULL")


class Visit(ClinicRow, Base):
    """A service that is a visit, so that fees apply to it.

    With `follow_up` it opens a follow-up window when it is paid in full, and is covered by one; without (a telephone call, an
    emergency) neither.
    """

    __tablename__ = "consultation_visit"
    __table_args__ = (references("service", "service_id"),)

    service_id: Mapped[str] = mapped_column(types.IdType, primary_key=True)
    follow_up: Mapped[Flag]


class Fee(ClinicRowWithId, Base):
    """The price of a visit for a provider (null: any), a kind of visit ('': any), or both, on the days [from, until).

    A later fee doesn't overwrite it: of those that hold on a day the one that began latest counts. Without any, the price list does.
    """

    __tablename__ = "consultation_fee"
    __table_args__ = (
        references("consultation_visit", "service_id", target="service_id"),
        references("membership", "provider_id"),
        check("unit_price_e4", "unit_price_e4 >= 0"),
        check("scope", "provider_id IS NOT NULL OR kind <> ''"),
        check("days", "valid_until_date IS NULL OR valid_until_date >= valid_from_date"),
        # Two, because nulls are distinct in a unique index.
        Index(
            "uq_consultation_fee_provider",
            *("clinic_id", "service_id", "provider_id", "kind", "valid_from_date"),
            unique=True,
            sqlite_where=_OF_A_PROVIDER,
            postgresql_where=_OF_A_PROVIDER,
        ),
        Index(
            "uq_consultation_fee_kind",
            *("clinic_id", "service_id", "kind", "valid_from_date"),
            unique=True,
            sqlite_where=_OF_ANY_PROVIDER,
            postgresql_where=_OF_ANY_PROVIDER,
        ),
    )

    service_id: Mapped[Id]
    provider_id: Mapped[Id | None]
    kind: Mapped[Name]
    unit_price_e4: Mapped[Whole]
    valid_from_date: Mapped[Day]
    valid_until_date: Mapped[Day | None]


class Terms(ClinicRowWithId, Base):
    """What is agreed with a provider, or with all who have no terms of their own (null), as it is now.

    The provider gets `share_bp` of what is paid, net of tax. Up to `follow_up_visits` visits within `follow_up_days` days of one
    that was paid in full cost `follow_up_price_e4` each (0: nothing). No days: no follow-ups.
    """

    __tablename__ = "consultation_terms"
    __table_args__ = (
        references("membership", "provider_id"),
        check("share_bp", "share_bp BETWEEN 0 AND 10000"),
        check("follow_up_days", "follow_up_days BETWEEN 0 AND 3650"),
        check("follow_up_price_e4", "follow_up_price_e4 >= 0"),
        check("follow_up_visits", "follow_up_visits >= 0 AND (follow_up_visits = 0) = (follow_up_days = 0)"),
        Index(
            "uq_consultation_terms_provider",
            *("clinic_id", "provider_id"),
            unique=True,
            sqlite_where=_OF_A_PROVIDER,
            postgresql_where=_OF_A_PROVIDER,
        ),
        Index(
            "uq_consultation_terms_clinic",
            "clinic_id",
            unique=True,
            sqlite_where=_OF_ANY_PROVIDER,
            postgresql_where=_OF_ANY_PROVIDER,
        ),
    )

    provider_id: Mapped[Id | None]
    share_bp: Mapped[Whole]
    follow_up_days: Mapped[Whole]
    follow_up_price_e4: Mapped[Whole]
    follow_up_visits: Mapped[Whole]


class FollowUp(ClinicRow, Base):
    """The latest follow-up window of a patient with a provider; its life is told at `rules.Window`.

    The row is locked by every payment and refund that may change it, then written whole.
    """

    __tablename__ = "consultation_follow_up"
    __table_args__ = (
        references("patient", "patient_id"),
        references("membership", "provider_id"),
        references("invoice_item", "item_id"),
        references("payment", "payment_id"),
        check("days", "free_through_date >= free_from_date"),
        check("visits_left", "visits_left >= 0"),
        check("unit_price_e4", "unit_price_e4 >= 0"),
        Index("ix_consultation_follow_up_item", "clinic_id", "item_id"),
    )
    upkeep = Upkeep.CHANGED

    patient_id: Mapped[str] = mapped_column(types.IdType, primary_key=True)
    provider_id: Mapped[str] = mapped_column(types.IdType, primary_key=True)
    free_from_date: Mapped[Day]
    free_through_date: Mapped[Day]
    visits_left: Mapped[Whole]
    unit_price_e4: Mapped[Whole]
    item_id: Mapped[Id]
    payment_id: Mapped[Id]
    closed_at: Mapped[Instant | None]


class Share(ClinicRowWithId, Base):
    """A provider's share of an item: above zero by the payment that settled it, below zero by a refund. Changed only to be paid out.

    `action_id` is that payment or refund, `amount_minor` is in the clinic's currency, `paid_out_id` names the document that pays it out.
    """

    __tablename__ = "consultation_share"
    __table_args__ = (
        references("membership", "provider_id"),
        references("invoice_item", "item_id"),
        unique("action_id", "item_id", name="uq_consultation_share_once"),
        check("amount", "amount_minor <> 0"),
        Index("ix_consultation_share_provider", "clinic_id", "provider_id", "business_date"),
        Index("ix_consultation_share_item", "clinic_id", "item_id"),
    )
    upkeep = Upkeep.CHANGED

    provider_id: Mapped[Id]
    item_id: Mapped[Id]
    action_id: Mapped[Id]
    amount_minor: Mapped[Minor]
    at: Mapped[Instant]
    business_date: Mapped[Day]
    paid_out_id: Mapped[Id | None]
