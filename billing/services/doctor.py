"""The doctor: checks a clinic's books, or the installation, against everything that must hold, and says what does not. It mends nothing.

One rule that can't be computed (a broken plugin, a number beyond 64 bits) is a finding too and keeps no other from being checked.
"""

import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from itertools import islice
from typing import Any

from sqlalchemy import Connection, Table, func, select, text
from sqlalchemy.exc import DBAPIError

import billing
from billing import migrations, registry
from billing.changes.declare import Invariant
from billing.changes.failures import is_database_error
from billing.database import Database
from billing.errors import BillingError, Invalid
from billing.migrations import privileges
from billing.migrations.row_security import clinic_tables
from billing.model import Base
from billing.model.scoping import require_scoped
from billing.registry import Plugin, Registry
from billing.services.invariants import CODE_CHECKS, CORE, CodeCheck, of_departments, of_tables
from billing.transaction import Transaction
from billing.trips import Query

SHOWN = 20
"""So many violations of a rule are shown; all are counted."""


class UnknownCheck(Invalid):
    """There is no check, and no plugin with checks, of that name. Facts: `check`."""

    code = "unknown_check"


@dataclass(frozen=True, slots=True)
class Check:
    """A rule and what breaks it: the first rows, by column, and how many there are. `error` says why it could not be checked."""

    name: str
    sentence: str
    plugin: str | None = None
    violations: tuple[Mapping[str, Any], ...] = ()
    count: int = 0
    error: str | None = None

    @property
    def passed(self) -> bool:
        """Whether the rule was checked and holds."""
        return self.count == 0 and self.error is None


@dataclass(frozen=True, slots=True)
class Report:
    """What was checked, in order, and facts that help where something is wrong."""

    checks: tuple[Check, ...]
    facts: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    """What is not as strong as it could be, though no rule is broken."""

    @property
    def healthy(self) -> bool:
        """Whether every rule holds."""
        return all(check.passed for check in self.checks)

    @property
    def broken(self) -> tuple[Check, ...]:
        """The rules that don't hold."""
        return tuple(check for check in self.checks if not check.passed)


Rule = tuple[str | None, Invariant | CodeCheck]
"""A rule with the plugin that declared it; None is the core."""


def examine(tx: Transaction, *, fast: bool = False, only: Sequence[str] | None = None, since: datetime | None = None) -> Report:
    """Check the clinic's books: the core's rules, those of the plugins at work here, and whether these plugins work at all.

    `fast` leaves out what is recomputed in code (audit chain, totals, hashes). `since` recomputes only documents made since that instant.
    `only` names checks, or plugins for all of theirs. Changes nothing: for a unit that reads. Needs `doctor.run`. Raises `UnknownCheck`.
    """
    tx.require("doctor.run")
    rules = [*rules_of(tx)]
    names = {rule.name for _, rule in rules} | {plugin for plugin, _ in rules if plugin} | {_PLUGINS_WORK.name}
    if unknown := [name for name in only or () if name not in names]:
        raise UnknownCheck(f"There is no check {unknown[0][:60]!r}: `billing doctor --json` lists them all.", check=unknown[0])
    wanted = names if only is None else set(only)
    checks = [_check_plugins(tx)] if _PLUGINS_WORK.name in wanted else []
    for plugin, rule in rules:
        if wanted.isdisjoint((rule.name, plugin)) or (fast and isinstance(rule, CodeCheck)):
            continue
        checks.append(_checked(tx, plugin, rule, since))
    return Report(tuple(checks), {"clinic": tx.clinic.code})


def rules_of(tx: Transaction) -> Iterator[Rule]:
    """Return all rules that hold for the clinic of this unit."""
    plugins = registry.of(tx)
    core: tuple[Invariant | CodeCheck, ...] = (*CORE, *_of_departments(plugins), *_of_tables(_core_tables()), *CODE_CHECKS)
    yield from ((None, rule) for rule in core)
    for plugin in plugins.enabled(tx.clinic):
        yield from ((plugin.name, rule) for rule in (*plugin.declaration.invariants, *_of_tables(plugin.tables)))


def examine_installation(database: Database, *, plugins: Registry) -> Report:
    """Check what is outside of any clinic: migrations, plugins, and the database's own structure; no actor is needed."""
    # Reading a whole file for damage takes a while: nobody is kept from writing meanwhile.
    reading = database.engine.execution_options(billing_mode="read")
    lineages = migrations.status(reading, registry=plugins)
    with reading.connect() as connection:
        structure = [_check_structure(connection, *each) for each in _STRUCTURE[database.dialect]]
        structure += [_check_row_security(connection)] if database.dialect == "postgresql" else []
        warning = privileges.warning(connection)
        version = connection.dialect.server_version_info or ()
    checks = (
        _found(
            "migrations_current",
            "Every lineage of migrations is at its head: `billing db upgrade` brings it there.",
            [{"lineage": each.name, "current": each.current, "head": each.head} for each in lineages if each.behind],
        ),
        _found(
            "plugins_healthy",
            "Every installed plugin can be used.",
            [{"plugin": each.name, "reason": each.error} for each in plugins.plugins if each.error is not None],
        ),
        *structure,
    )
    return Report(
        checks,
        {
            "python": platform.python_version(),
            "billing": str(billing.__file__),
            "database": f"{database.dialect} {'.'.join(map(str, version))}",
            "plugins": ", ".join(f"{each.name} {each.version}".strip() for each in plugins.plugins) or "none",
        },
        (warning,) if warning else (),
    )


_PLUGINS_WORK = Check("plugins_work", "Every plugin that is enabled in the clinic is installed and can be used.")


def _core_tables() -> frozenset[Table]:
    # By where they are defined: a quarantined plugin's tables are known too, but need not be in the database.
    classes = [mapper.class_ for mapper in Base.registry.mappers]
    return frozenset(each.__table__ for each in classes if each.__module__.startswith("billing.model."))


# Kept, since to make and compile all of these takes longer than to run them on the books of a small clinic.


@lru_cache(maxsize=64)
def _of_tables(tables: frozenset[Table]) -> tuple[Invariant, ...]:
    return tuple(of_tables(tables))


@lru_cache(maxsize=16)
def _of_departments(plugins: Registry) -> tuple[Invariant, ...]:
    return tuple(of_departments(plugins))


@lru_cache(maxsize=1024)
def _query(rule: Invariant) -> Query:
    """Return the query for a rule's first violations and their number. Raises `UnscopedStatement`."""
    require_scoped(rule.violations)
    # Materialized: behind a LIMIT the planner hopes for early violations and compares whole tables row by row, which takes hours where all is well.
    inner = rule.violations.cte("violations").prefix_with("MATERIALIZED", dialect="postgresql")
    # OFFSET 0 is written out, since SQLite's LIMIT would otherwise come with a parameter of its own.
    return Query(select(func.count().over().label("count_of_all"), *inner.columns).limit(SHOWN).offset(0))


def _check_plugins(tx: Transaction) -> Check:
    installed: dict[str, Plugin] = {plugin.name: plugin for plugin in registry.of(tx).plugins}
    broken = {name: installed[name].error if name in installed else "it is not installed" for name in tx.clinic.settings}
    found = [{"plugin": name, "reason": reason} for name, reason in sorted(broken.items()) if reason is not None]
    return _found(_PLUGINS_WORK.name, _PLUGINS_WORK.sentence, found)


def _checked(tx: Transaction, plugin: str | None, rule: Invariant | CodeCheck, since: datetime | None) -> Check:
    try:
        # A savepoint, since an error would otherwise end the unit on PostgreSQL, and with it all checks that are still to come.
        with tx.session.connection().begin_nested():
            violations, count = _violations(tx, rule, since)
    except Exception as error:
        if not (isinstance(error, BillingError) or is_database_error(error)):
            raise
        return Check(rule.name, rule.sentence, plugin, error=f"it could not be checked: {str(error).splitlines()[0]}")
    return Check(rule.name, rule.sentence, plugin, violations, count)


def _violations(tx: Transaction, rule: Invariant | CodeCheck, since: datetime | None) -> tuple[tuple[Mapping[str, Any], ...], int]:
    if isinstance(rule, CodeCheck):
        found = rule.violations(tx, since)
        shown = tuple(islice(found, SHOWN))
        return shown, len(shown) + sum(1 for _ in found)
    query = _query(rule)
    rows = tx.rows(query)
    names = list(query.statement.exported_columns.keys())[1:]
    shown = tuple(dict(zip(names, map(_plain, row[1:]), strict=True)) for row in rows)
    return shown, int(rows[0][0]) if rows else 0


def _plain(value: Any) -> Any:
    """Return a value of a row as JSON has it; sums come from PostgreSQL as decimals."""
    if isinstance(value, Decimal):
        return int(value)
    return value.isoformat() if isinstance(value, (date, datetime)) else value


def _found(name: str, sentence: str, violations: Sequence[Mapping[str, Any]]) -> Check:
    return Check(name, sentence, None, tuple(violations[:SHOWN]), len(violations))


_STRUCTURE: Mapping[str, tuple[tuple[str, str, str], ...]] = {
    "sqlite": (
        (
            "database_file_intact",
            "The database file is intact.",
            "SELECT integrity_check AS problem FROM pragma_integrity_check WHERE integrity_check <> 'ok'",
        ),
        ("references_intact", "Every row refers to rows that are there.", "SELECT * FROM pragma_foreign_key_check"),
        (
            "columns_keep_their_types",
            "Every table is STRICT, so that a column of numbers holds numbers only.",
            """SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND strict = 0
            AND name NOT LIKE 'sqlite%' AND name NOT LIKE 'alembic%' ORDER BY name""",
        ),
    ),
    "postgresql": (
        (
            "constraints_validated",
            "Every constraint was validated against the rows that are there.",
            """SELECT conrelid::regclass::text AS table_name, conname AS name FROM pg_constraint
            WHERE NOT convalidated AND connamespace = current_schema()::regnamespace ORDER BY 1, 2""",
        ),
        (
            "indexes_valid",
            "Every index can be used.",
            """SELECT indexrelid::regclass::text AS name FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
            WHERE NOT (indisvalid AND indisready) AND relnamespace = current_schema()::regnamespace ORDER BY 1""",
        ),
        (
            "waits_are_limited",
            "Locks, statements and idle units have a time limit: `billing db grant` sets them where a connection pooler takes none along.",
            """SELECT name FROM pg_settings WHERE setting = '0'
            AND name IN ('lock_timeout', 'statement_timeout', 'idle_in_transaction_session_timeout') ORDER BY 1""",
        ),
    ),
}
"""What each database can say of itself: name, sentence, and a statement that returns what is wrong."""


def _check_structure(connection: Connection, name: str, sentence: str, statement: str) -> Check:
    try:
        return _found(name, sentence, [dict(row) for row in connection.execute(text(statement)).mappings()])
    except DBAPIError as error:  # a damaged file can be too damaged to be read through
        return Check(name, sentence, error=f"it could not be checked: {error.orig}")


def _check_row_security(connection: Connection) -> Check:
    return _found(
        "clinics_kept_apart",
        "Every table of clinics has its forced row level security, and no policy beside it: `billing db upgrade` sees to it.",
        [{"table": each.name, "policies": ", ".join(each.openings)} for each in clinic_tables(connection) if not each.protected],
    )
