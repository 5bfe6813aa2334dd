"""An installation put together: settings, plugins and database. Programs, commands and tests all start here."""

from typing import TYPE_CHECKING

from billing import failpoints, registry
from billing.database import Database
from billing.engine import open_engine
from billing.errors import Misconfigured
from billing.model.lint import core_tables, schema_problems
from billing.registry import Registry
from billing.settings import Settings, read_settings

if TYPE_CHECKING:
    from billing.migrations import Lineage

ALARM_AFTER_BUDGETS = 5
"""A hook that takes longer than its budget fails the payment; after this many budgets a command does not wait for it any longer."""


class BadSchema(Misconfigured):
    """A table of the core breaks the rules that all tables keep: a fault of this version. Facts: `problems`."""

    code = "bad_schema"


def load_plugins(settings: Settings, *, alarm: bool = False) -> Registry:
    """Return the plugins that the settings name, or all that are installed. With `alarm` (commands) a hook that never returns is ended.

    Raises `UnknownPlugin`.
    """
    return registry.load(
        only=settings.plugin_names,
        budget_seconds=settings.hook_budget_seconds,
        alarm_seconds=ALARM_AFTER_BUDGETS * settings.hook_budget_seconds if alarm else None,
        trace=settings.trace_hooks,
    )


def upgrade_database(settings: Settings, *, plugins: Registry) -> "list[Lineage]":
    """Bring the database to what core and plugins need, as its tables' owner; grant the application's role what it needs. Return what was behind."""
    from billing import migrations  # a program that only opens the database does not wait for Alembic

    return migrations.upgrade(settings.owner_url, registry=plugins, settings=settings, grant_to=application_role(settings))


def application_role(settings: Settings) -> str | None:
    """Return the role that the application connects as, if it is another than the tables' owner."""
    if not settings.owner_database_url:
        return None
    role, owner = (open_engine(url, settings).url.username for url in (settings.database_url, settings.owner_database_url))
    return role if role != owner else None


def open_database(url: str | None = None, *, plugins: Registry | None = None, settings: Settings | None = None) -> Database:
    """Return the boundary on a database: the settings' one with the settings' plugins, unless others are given.

    Raises `BadDatabaseUrl`, and `BadSchema` if a table of the core breaks the rules that all tables keep. Also `BadFailpoints`.
    """
    if problems := schema_problems(core_tables()):
        raise BadSchema(f"The tables can't be used as they are: {problems[0]}.", problems=problems)
    chosen = settings or read_settings()
    if chosen.failpoints:
        failpoints.arm(chosen.failpoints)
    acting = plugins or load_plugins(chosen)
    names = [plugin.name for plugin in acting.plugins]
    return Database(url or chosen.database_url, plugins=acting, permissions=acting.permissions_of, names=names, settings=chosen)
