"""The first person who can act: the local operator, made once by `billing init`."""

from sqlalchemy import select

from billing.model import Staff
from billing.transaction import Transaction

OPERATOR_LOGIN = "operator"


def make_operator(tx: Transaction, *, login: str = OPERATOR_LOGIN) -> bool:
    """Make the operator unless one is there; return whether one was made. The operator may do everything, and everything is audited."""
    if tx.session.scalar(select(Staff.id).where(Staff.is_operator)):
        return False
    tx.session.add(Staff(login=login, name="Local operator", is_operator=True, active=True, created_at=tx.at))
    return True
