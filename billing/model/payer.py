"""Who pays for clients: insurers and companies, what they cover, what is claimed from them, and how they pay."""

from sqlalchemy import Index
from sqlalchemy.orm import Mapped, mapped_column

from billing.model.base import Base, ClinicRow, ClinicRowWithId, Upkeep, check, references, unique
from billing.model.types import Day, Flag, Id, IdType, Instant, Minor, Name, Whole


class Payer(ClinicRowWithId, Base):
    """An insurer or company that answers for a part of clients' bills."""

    __tablename__ = "payer"
    __table_args__ = (
        unique("code", name="uq_payer_code"),
        unique("source", name="uq_payer_source"),
        check("kind", "kind IN ('insurer', 'company')"),
    )
    upkeep = Upkeep.CHANGED

    code: Mapped[Name]
    name: Mapped[Name]
    kind: Mapped[Name]
    active: Mapped[Flag]
    source: Mapped[Name | None]
    created_at: Mapped[Instant]


class Coverage(ClinicRowWithId, Base):
    """What a payer answers for of a client's bills (of one patient's, if named): percent, co-pays, caps; from `from_date` until before `until_date`."""

    __tablename__ = "coverage"
    __table_args__ = (
        references("payer", "payer_id"),
        references("client", "client_id"),
        references("patient", "patient_id"),
        check("percent", "percent_bp BETWEEN 0 AND 10000"),
        check("copays", "item_copay_minor >= 0 AND visit_copay_minor >= 0"),
        Index("ix_coverage_client", "clinic_id", "client_id"),
        Index("ix_coverage_payer", "clinic_id", "payer_id"),
    )
    upkeep = Upkeep.CHANGED

    payer_id: Mapped[Id]
    client_id: Mapped[Id]
    patient_id: Mapped[Id | None]
    policy_number: Mapped[Name]
    percent_bp: Mapped[Whole]
    item_copay_minor: Mapped[Minor]
    visit_copay_minor: Mapped[Minor]
    visit_cap_minor: Mapped[Minor | None]
    year_cap_minor: Mapped[Minor | None]
    from_date: Mapped[Day]
    until_date: Mapped[Day | None]
    active: Mapped[Flag]
    created_at: Mapped[Instant]


class Claim(ClinicRowWithId, Base):
    """The payer's part of one issued invoice. `amount_minor` is less what was credited since; minor units of the clinic's currency."""

    __tablename__ = "claim"
    __table_args__ = (
        references("invoice", "invoice_id"),
        references("payer", "payer_id"),
        references("client", "client_id"),
        unique("invoice_id", name="uq_claim_invoice"),
        check("status", "status IN ('open', 'submitted', 'part_paid', 'paid', 'rejected', 'cancelled')"),
        check("amounts", "paid_minor >= 0 AND rejected_minor >= 0 AND paid_minor + rejected_minor <= amount_minor"),
        Index("ix_claim_payer", "clinic_id", "payer_id", "status", "issue_date", "id"),
        Index("ix_claim_created", "clinic_id", "created_at", "id"),
    )
    upkeep = Upkeep.CHANGED

    invoice_id: Mapped[Id]
    payer_id: Mapped[Id]
    coverage_id: Mapped[Id | None]
    client_id: Mapped[Id]
    amount_minor: Mapped[Minor]
    paid_minor: Mapped[Minor]
    rejected_minor: Mapped[Minor]
    status: Mapped[Name]
    reference: Mapped[Name]
    submitted_at: Mapped[Instant | None]
    issue_date: Mapped[Day]
    created_at: Mapped[Instant]


class ClaimPayment(ClinicRowWithId, Base):
    """Money from a payer for one or many claims."""

    __tablename__ = "claim_payment"
    __table_args__ = (
        references("payer", "payer_id"),
        check("amount", "amount_minor > 0"),
        Index("ix_claim_payment_payer", "clinic_id", "payer_id", "id"),
    )
    upkeep = Upkeep.ADDED

    payer_id: Mapped[Id]
    method: Mapped[Name]
    reference: Mapped[Name]
    amount_minor: Mapped[Minor]
    at: Mapped[Instant]
    business_date: Mapped[Day]
    done_by: Mapped[Id]
    person: Mapped[Name]


class ClaimPart(ClinicRow, Base):
    """What of a payer's money went to one claim."""

    __tablename__ = "claim_part"
    __table_args__ = (
        references("claim_payment", "claim_payment_id"),
        references("claim", "claim_id"),
        check("amount", "amount_minor > 0"),
        Index("ix_claim_part_claim", "clinic_id", "claim_id"),
    )
    upkeep = Upkeep.ADDED

    claim_payment_id: Mapped[str] = mapped_column(IdType, primary_key=True)
    claim_id: Mapped[str] = mapped_column(IdType, primary_key=True)
    amount_minor: Mapped[Minor]
