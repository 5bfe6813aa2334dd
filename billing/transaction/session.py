"""The session of a unit: every query is scoped to the clinic, and ending the transaction is not its business. Knows no dialect."""

from collections.abc import Collection
from typing import Any

from sqlalchemy import event, update
from sqlalchemy.orm import ORMExecuteState, Session, UOWTransaction, with_loader_criteria

from billing.engine import own_end
from billing.errors import PluginViolation
from billing.model import Clinic, ClinicPlugin, ClinicRow, Department, NumberSeries, Period, new_id
from billing.model.scoping import require_scoped, writes_clinic_rows

SET_UP: tuple[type, ...] = (Clinic, ClinicPlugin, Department, NumberSeries, Period)
"""What `ClinicFacts` are made of: a change of any of it gives the clinic a new revision."""
_SET_UP_TABLES: frozenset[Any] = frozenset(each.__table__ for each in SET_UP)  # type: ignore[attr-defined]


class UnitSession(Session):
    """The session of a unit: every query is scoped to the clinic, and ending the transaction is not its business."""

    def commit(self) -> None:
        """Refuse."""
        raise own_end("commit")

    def rollback(self) -> None:
        """Refuse."""
        raise own_end("rollback")

    def close(self) -> None:
        """Refuse."""
        raise own_end("close")

    def begin(self, nested: bool = False) -> Any:  # noqa: FBT001, FBT002 - the session's own signature
        """Allow a savepoint; refuse a transaction."""
        if not nested:
            raise own_end("begin")
        return super().begin(nested=True)


@event.listens_for(UnitSession, "do_orm_execute")
def _scope_to_clinic(state: ORMExecuteState) -> None:
    clinic_id = state.session.info.get("clinic_id")
    if state.is_insert and writes_clinic_rows(state.statement):
        raise PluginViolation(
            "Rows of a clinic are added to the session or written by tx.write, not by an INSERT statement.", reason="insert"
        )
    if (state.is_update or state.is_delete) and clinic_id and getattr(state.statement, "table", None) in _SET_UP_TABLES:
        _revise(state.session, {clinic_id})
    if state.is_orm_statement and not state.is_insert:
        if clinic_id is None:
            return
        state.statement = state.statement.options(
            with_loader_criteria(ClinicRow, lambda row: row.clinic_id == clinic_id, include_aliases=True),
            with_loader_criteria(Clinic, lambda row: row.clinic_id == clinic_id, include_aliases=True),
        )
    elif not state.is_insert:
        require_scoped(state.statement)


@event.listens_for(UnitSession, "before_flush")
def _fill_in_clinic(session: Session, *_: object) -> None:
    clinic_id = session.info.get("clinic_id")
    for row in session.new:
        if isinstance(row, (ClinicRow, Clinic)):
            named: str | None = row.clinic_id  # the class says str, a new row has none yet
            if named is None:
                row.clinic_id = clinic_id
            elif named != clinic_id:
                raise PluginViolation(f"A row of {type(row).__name__} names another clinic than the unit's.", reason="clinic")


@event.listens_for(UnitSession, "after_flush")
def _revise_clinic(session: Session, _: UOWTransaction) -> None:
    changed = [row for row in (*session.new, *session.dirty, *session.deleted) if isinstance(row, SET_UP)]
    _revise(session, {row.clinic_id for row in changed})  # type: ignore[attr-defined]


def _revise(session: Session, clinic_ids: Collection[str]) -> None:
    clinic: Any = Clinic.__table__
    for clinic_id in clinic_ids:
        session.connection().execute(update(clinic).where(clinic.c.clinic_id == clinic_id).values(revision=new_id()))
