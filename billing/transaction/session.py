"""The session of a unit: every query is scoped to the clinic, and ending the transaction is not its business. Knows no dialect."""

from typing import Any

from sqlalchemy import event
from sqlalchemy.orm import ORMExecuteState, Session, with_loader_criteria

from billing.errors import PluginViolation
from billing.model import Clinic, ClinicRow
from billing.model.scoping import require_scoped, writes_clinic_rows


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


def own_end(what: str) -> PluginViolation:
    """Return the error for a unit that ends, or begins, a transaction itself."""
    return PluginViolation(f"A unit of work called {what}: only the boundary begins, commits and rolls back.", reason=what)
