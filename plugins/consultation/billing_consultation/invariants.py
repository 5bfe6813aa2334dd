"""What must always hold in the consultation department's books, as selects that find what doesn't. Nothing is repaired here."""

from sqlalchemy import func, or_, select

from billing.plugin import CLINIC, Invariant
from billing_consultation.model import FollowUp, Share

ALL = (
    Invariant(
        name="consultation_share_balance",
        sentence="A provider's share of an item is never taken back further than to zero.",
        violations=select(Share.item_id, func.sum(Share.amount_minor).label("balance_minor"))
        .where(Share.clinic_id == CLINIC)
        .group_by(Share.item_id)
        .having(func.sum(Share.amount_minor) < 0),
    ),
    Invariant(
        name="consultation_share_provider",
        sentence="All shares of an item belong to one provider: what one got is not taken back from another.",
        violations=select(Share.item_id)
        .where(Share.clinic_id == CLINIC)
        .group_by(Share.item_id)
        .having(func.count(Share.provider_id.distinct()) > 1),
    ),
    Invariant(
        name="consultation_follow_up_window",
        sentence="A follow-up window ends no earlier than it begins, and a closed one has no visits left.",
        violations=select(FollowUp.patient_id, FollowUp.provider_id)
        .where(FollowUp.clinic_id == CLINIC)
        .where(
            or_(
                FollowUp.free_through_date < FollowUp.free_from_date,
                FollowUp.visits_left < 0,
                FollowUp.closed_at.is_not(None) & (FollowUp.visits_left > 0),
            )
        ),
    ),
)
