"""An installation put together: settings, plugins and database. Programs, commands and tests all start here."""

from billing import failpoints, registry
from billing.database import Database
from billing.errors import Misconfigured
from billing.model.lint import core_tables, schema_problems
from billing.registry import Registry
from billing.settings import Settings, read_settings

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
