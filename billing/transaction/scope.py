"""Whose rows a database transaction is about, told to PostgreSQL: the policies on its tables show and accept no others.

Said as literal text of SET LOCAL: it ends with the transaction, so a pooled connection remembers nobody's, and a cluster hands it on to its
nodes, which it does not do for set_config(). SQLite has no policies. Knows no unit of work.
"""

from collections.abc import Iterator, Sequence
from uuid import UUID

from sqlalchemy import Connection, select

from billing.model import ClinicCode
from billing.trips import Call, Prepared, Query

SETTING = "app.clinic"

CLINIC_IDS = Query(select(ClinicCode.clinic_id).order_by(ClinicCode.code))
"""The ids of all clinics; the book of codes is shared, so it is read without a clinic."""


def scope_calls(dialect: str, clinic_id: str | None) -> Sequence[Call]:
    """Return what to send ahead, in the same trip, of the statements that are about this clinic; None is nobody's rows."""
    return [(Prepared(_set_local(clinic_id), kept=False), ())] if dialect == "postgresql" else []


def each_clinic(connection: Connection) -> Iterator[str]:
    """Yield the id of every clinic in turn; what is sent meanwhile is about that one. For transactions that are no unit of a clinic."""
    for clinic_id in connection.scalars(CLINIC_IDS.statement).all():
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql(_set_local(clinic_id))
        yield clinic_id


def _set_local(clinic_id: str | None) -> str:
    return f"SET LOCAL {SETTING} = '{UUID(clinic_id) if clinic_id else ''}'"
