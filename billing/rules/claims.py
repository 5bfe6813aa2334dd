"""The states of a claim on a payer, by its amounts. Pure."""


def claim_status(amount_minor: int, *, paid_minor: int, rejected_minor: int, submitted: bool) -> str:
    """Derive a claim's status: cancelled, rejected, paid, part_paid, submitted or open. Minor units."""
    if amount_minor == 0:
        return "cancelled"
    if paid_minor + rejected_minor == amount_minor:
        return "paid" if paid_minor else "rejected"
    if paid_minor:
        return "part_paid"
    return "submitted" if submitted else "open"
