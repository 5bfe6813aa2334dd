"""What the consultation hooks want to know: one select per question and moment. No rules here."""

from sqlalchemy import and_, or_, select

from billing.plugin import Need, billing, importing, paying, quoting, refunding, today
from billing_consultation.model import Fee, FollowUp, Terms, Visit

_VISIT = select(Visit.service_id, Visit.follow_up)
_TERMS = select(Terms.provider_id, Terms.share_bp, Terms.follow_up_days, Terms.follow_up_price_e4, Terms.follow_up_visits)
_WINDOW = select(  # the fields of rules.Window, in their order
    FollowUp.patient_id,
    FollowUp.provider_id,
    FollowUp.free_from_date,
    FollowUp.free_through_date,
    FollowUp.visits_left,
    FollowUp.unit_price_e4,
    FollowUp.item_id,
    FollowUp.payment_id,
    FollowUp.closed_at,
)

QUOTED_VISITS = Need(_VISIT.where(Visit.service_id.in_(select(quoting.c.service_id))), of="quoting")

QUOTED_FEES = Need(
    select(Fee.service_id, Fee.provider_id, Fee.kind, Fee.unit_price_e4, Fee.valid_from_date).where(  # the fields of rules.ListedFee
        Fee.service_id.in_(select(quoting.c.service_id)),
        or_(Fee.provider_id.is_(None), Fee.provider_id.in_(select(quoting.c.provider_id))),
        and_(Fee.valid_from_date <= today, or_(Fee.valid_until_date.is_(None), Fee.valid_until_date > today)),
    ),
    of="quoting",
)

QUOTED_WINDOWS = Need(
    _WINDOW.where(FollowUp.patient_id.in_(select(quoting.c.patient_id)), FollowUp.provider_id.in_(select(quoting.c.provider_id))),
    of="quoting",
)

BILLED_VISITS = Need(_VISIT.where(Visit.service_id.in_(select(billing.c.service_id))), of="billing")

PAID_VISITS = Need(_VISIT.where(Visit.service_id.in_(select(paying.c.service_id))))

PAID_TERMS = Need(_TERMS.where(or_(Terms.provider_id.is_(None), Terms.provider_id.in_(select(paying.c.provider_id)))))

PAID_WINDOWS = Need(
    _WINDOW.where(FollowUp.patient_id.in_(select(paying.c.patient_id)), FollowUp.provider_id.in_(select(paying.c.provider_id))),
    lock=FollowUp,
)

REFUNDED_WINDOWS = Need(
    _WINDOW.where(FollowUp.patient_id.in_(select(refunding.c.patient_id)), FollowUp.provider_id.in_(select(refunding.c.provider_id))),
    lock=FollowUp,
    of="refunding",
)

IMPORTED_VISITS = Need(_VISIT.where(Visit.service_id.in_(select(importing.c.service_id))), of="importing")

CLINIC_TERMS = Need(_TERMS.where(Terms.provider_id.is_(None)), of="importing")

ALL = (
    QUOTED_VISITS,
    QUOTED_FEES,
    QUOTED_WINDOWS,
    BILLED_VISITS,
    PAID_VISITS,
    PAID_TERMS,
    PAID_WINDOWS,
    REFUNDED_WINDOWS,
    IMPORTED_VISITS,
    CLINIC_TERMS,
)
