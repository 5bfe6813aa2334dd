"""Brings a database to what the code needs: the core's lineage first, then each plugin's, every one with a version table of its own.

Several lineages, since one shared table would stop every command on the day a plugin is uninstalled. Knows the tables, not the services.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, Table, text
from sqlalchemy.exc import DBAPIError

from billing.changes.failures import explain
from billing.database import over_all_clinics
from billing.engine import open_engine
from billing.errors import Misconfigured
from billing.failpoints import failpoint
from billing.migrations import cluster, privileges, row_security
from billing.model import MigrationLock
from billing.model.lint import core_tables
from billing.registry import Plugin, Registry
from billing.settings import Settings

CORE = "core"


class MigrationMissing(Misconfigured):
    """The database is behind the code. Facts: `lineages`."""

    code = "migration_missing"


@dataclass(frozen=True, slots=True)
class Distributed:
    """What was spread over the nodes, and the tables that stay on one node since no installed plugin knows them."""

    tables: tuple[str, ...]
    left_over: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Lineage:
    """A row of `billing db status`: where a lineage stands and where it should."""

    name: str
    current: str | None
    head: str

    @property
    def behind(self) -> bool:
        """Whether `billing db upgrade` has something to do."""
        return self.current != self.head


def upgrade(url: str, *, registry: Registry, settings: Settings | None = None, grant_to: str | None = None) -> list[Lineage]:
    """Upgrade every lineage to its head, in one transaction; a second run does nothing. Return what was done, by lineage.

    On PostgreSQL every table of clinics has its row level security afterwards, and the role `grant_to` what the application needs.
    Raises `Misconfigured` errors that say what is wrong with the database.
    """
    chosen = settings or Settings()
    engine = open_engine(url, chosen)
    try:
        with over_all_clinics(engine, writing=True) as connection:
            _lock(connection)
            behind = [each for each in _status(connection, registry) if each.behind]
            if behind:  # else no table is locked either
                row_security.lift(connection)
            with cluster.spreading(connection):
                for name, location in _lineages(registry.healthy):
                    failpoint("migration.before", name)
                    command.upgrade(_config(connection, name, location), "heads")
                    failpoint("migration.after", name)
            row_security.protect(connection)
            if grant_to is not None:
                privileges.grant(connection, grant_to, chosen)
            return behind
    except DBAPIError as error:
        raise explain(error) from error
    finally:
        engine.dispose()


def distribute(url: str, *, registry: Registry, settings: Settings | None = None) -> Distributed:
    """Spread a database that is at its heads over the nodes of a cluster, in one transaction; a second run does nothing.

    Raises `NoCluster` where there is none, `MigrationMissing`, and `Misconfigured` errors that say what the database said.
    """
    tables = _tables(registry)
    engine = open_engine(url, settings or Settings())
    try:
        with over_all_clinics(engine, writing=True) as connection:
            cluster.require_cluster(connection)
            _require_current(_status(connection, registry))
            _lock(connection)
            spread = cluster.distribute(connection, tables)
            return Distributed(tables=tuple(spread), left_over=tuple(cluster.left_over(connection, tables)))
    except DBAPIError as error:
        raise explain(error) from error
    finally:
        engine.dispose()


def distribution_sql(registry: Registry) -> list[str]:
    """Return the statements that `distribute` runs on a database of which nothing is spread yet."""
    return cluster.statements(_tables(registry))


def purge(url: str, *, plugin: Plugin, settings: Settings | None = None) -> None:
    """Drop a plugin's tables with all that is in them, by running its lineage down to nothing."""
    engine = open_engine(url, settings or Settings())
    try:
        with over_all_clinics(engine, writing=True) as connection:
            _lock(connection)
            for name, location in _lineages([plugin])[1:]:
                command.downgrade(_config(connection, name, location), "base")
                connection.execute(text(f"DROP TABLE IF EXISTS {_version_table(name)}"))
    except DBAPIError as error:
        raise explain(error) from error
    finally:
        engine.dispose()


def grant(url: str, *, role: str, settings: Settings) -> None:
    """Give the application's role what it needs, as the tables' owner at `url`. Raises what `privileges.grant` raises."""
    engine = open_engine(url, settings)
    try:
        with over_all_clinics(engine, writing=True) as connection:
            privileges.grant(connection, role, settings)
    except DBAPIError as error:
        raise explain(error) from error
    finally:
        engine.dispose()


def status(engine: Engine, *, registry: Registry) -> list[Lineage]:
    """Return where each lineage stands."""
    try:
        with over_all_clinics(engine, writing=False) as connection:
            return _status(connection, registry)
    except DBAPIError as error:
        raise explain(error) from error


def warning(engine: Engine) -> str | None:
    """Say what PostgreSQL can't keep from the role that we connect as; None where there is nothing to be said."""
    with over_all_clinics(engine, writing=False) as connection:
        return privileges.warning(connection)


def require_current(engine: Engine, *, registry: Registry) -> None:
    """Raise `MigrationMissing` unless every lineage is at its head."""
    _require_current(status(engine, registry=registry))


def _require_current(lineages: Iterable[Lineage]) -> None:
    if behind := [each.name for each in lineages if each.behind]:
        raise MigrationMissing(
            f"The database lacks migrations of {', '.join(behind)}: run `billing init` on a new one, `billing db upgrade` on an older one.",
            lineages=behind,
        )


def _status(connection: Connection, registry: Registry) -> list[Lineage]:
    found = []
    for name, location in _lineages(registry.healthy):
        script = ScriptDirectory.from_config(_config(connection, name, location))
        current = MigrationContext.configure(connection, opts={"version_table": _version_table(name)}).get_current_revision()
        found.append(Lineage(name=name, current=current, head=script.get_current_head() or ""))
    return found


def _tables(registry: Registry) -> list[Table]:
    return [*core_tables(), *(table for plugin in registry.healthy for table in plugin.tables)]


def _lineages(plugins: Iterable[Plugin]) -> Sequence[tuple[str, str]]:
    own = [(plugin.name, plugin.declaration.migrations) for plugin in plugins]
    return [(CORE, "billing.migrations.versions"), *((name, location) for name, location in own if location is not None)]


def _config(connection: Connection, name: str, location: str) -> Config:
    config = Config()
    config.set_main_option("script_location", "billing:migrations")
    config.set_main_option("path_separator", "newline")
    package, _, folder = location.rpartition(".")
    config.set_main_option("version_locations", f"{package}:{folder}")
    config.attributes.update(connection=connection, version_table=_version_table(name), prefix=None if name == CORE else f"{name}_")
    return config


def _version_table(name: str) -> str:
    return f"alembic_version_{name}"


def _lock(connection: Connection) -> None:
    # The lock is a row that every migration writes. SQLite holds the whole file anyhow.
    lock = MigrationLock.__table__
    lock.create(connection, checkfirst=True)  # type: ignore[attr-defined]
    if connection.execute(lock.update().values(holder="migration")).rowcount == 0:  # type: ignore[attr-defined]
        connection.execute(lock.insert().values(name="migration", holder="migration"))  # type: ignore[attr-defined]
