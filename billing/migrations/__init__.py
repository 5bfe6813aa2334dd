"""Brings a database to what the code needs: the core's lineage first, then each plugin's, every one with a version table of its own.

Several lineages, since one shared table would stop every command on the day a plugin is uninstalled. Knows the tables, not the services.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from billing.changes.failures import explain
from billing.database import open_engine, over_all_clinics
from billing.errors import Misconfigured
from billing.failpoints import failpoint
from billing.model import MigrationLock
from billing.registry import Plugin, Registry
from billing.settings import Settings

CORE = "core"


class MigrationMissing(Misconfigured):
    """The database is behind the code. Facts: `lineages`."""

    code = "migration_missing"


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


def upgrade(url: str, *, registry: Registry, settings: Settings | None = None) -> list[Lineage]:
    """Upgrade every lineage to its head, in one transaction; a second run does nothing. Return what was done, by lineage.

    Raises `Misconfigured` errors that say what is wrong with the database.
    """
    engine = open_engine(url, settings or Settings())
    try:
        with over_all_clinics(engine, writing=True) as connection:
            _lock(connection)
            before = _status(connection, registry)
            for name, location in _lineages(registry.healthy):
                failpoint("migration.before", name)
                command.upgrade(_config(connection, name, location), "heads")
                failpoint("migration.after", name)
            return [each for each in before if each.behind]
    except DBAPIError as error:
        raise explain(error) from error
    finally:
        engine.dispose()


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


def status(engine: Engine, *, registry: Registry) -> list[Lineage]:
    """Return where each lineage stands."""
    try:
        with over_all_clinics(engine, writing=False) as connection:
            return _status(connection, registry)
    except DBAPIError as error:
        raise explain(error) from error


def require_current(engine: Engine, *, registry: Registry) -> None:
    """Raise `MigrationMissing` unless every lineage is at its head."""
    if behind := [each.name for each in status(engine, registry=registry) if each.behind]:
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
