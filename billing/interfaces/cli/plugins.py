"""`billing plugins`: what is installed, what is broken and why, and what is at work in a clinic with which settings."""

from typing import TYPE_CHECKING, Any

import click

from billing.errors import Misconfigured, NotFound
from billing.interfaces.cli.console import ClinicNotNamed, Console
from billing.interfaces.cli.options import pairs, parse_value

if TYPE_CHECKING:
    from billing.registry import Plugin

COLUMNS = ["name", "distribution", "version", "state", "hooks", "departments", "error"]


@click.group(invoke_without_command=True)
@click.pass_context
def plugins(context: click.Context) -> None:
    """The plugins: list (also without a command), enable, disable, settings."""
    if context.invoked_subcommand is None:
        context.invoke(list_)


@plugins.command("list")
@click.pass_obj
def list_(console: Console) -> None:
    """List the plugins: active or disabled in the clinic (installed, where none is named), or failed, and why."""
    enabled = _enabled(console)
    console.show([_row(plugin, enabled) for plugin in console.registry.plugins], columns=COLUMNS)


@plugins.command()
@click.argument("name")
@click.pass_obj
def enable(console: Console, name: str) -> None:
    """Let the plugin NAME act in the clinic."""
    from billing.services import clinics

    console.run(lambda tx: clinics.set_plugin(tx, name=name, enabled=True))
    console.say(f"{name} is at work in {console.clinic}.")


@plugins.command()
@click.argument("name")
@click.pass_obj
def disable(console: Console, name: str) -> None:
    """Stop the plugin NAME in the clinic: its departments can't be billed or paid then. Its rows stay."""
    from billing.services import clinics

    console.run(lambda tx: clinics.set_plugin(tx, name=name, enabled=False))
    console.say(f"{name} is disabled in {console.clinic}.")


@plugins.command()
@click.argument("name")
@click.argument("values", nargs=-1, metavar="[FIELD=VALUE]...")
@click.pass_obj
def settings(console: Console, name: str, values: tuple[str, ...]) -> None:
    """Show the settings of the plugin NAME in the clinic, or change some of them."""
    from billing.services import clinics

    plugin = console.registry.plugin(name)
    if values:
        changes = {field: parse_value(value) for field, value in pairs(values, "the setting").items()}
        console.run(lambda tx: clinics.set_plugin(tx, name=name, settings=changes))
    shown = console.read(lambda tx: console.registry.settings(plugin, tx.clinic))
    if shown is None and not console.wants_json:
        console.say(f"The plugin {name} has no settings.")
    else:
        console.show({} if shown is None else shown.model_dump(mode="json"))


def _enabled(console: Console) -> frozenset[str] | None:
    """Return the plugins at work in the clinic, or None where no clinic can be meant: what is installed is shown all the same."""
    try:
        return console.read(lambda tx: frozenset(tx.clinic.settings))
    except (ClinicNotNamed, Misconfigured, NotFound):
        if console.names_clinic:
            raise
        return None


def _row(plugin: "Plugin", enabled: frozenset[str] | None) -> dict[str, Any]:
    if plugin.error is not None:
        state = "failed"
    elif enabled is None:
        state = "installed"
    else:
        state = "active" if plugin.name in enabled else "disabled"
    return {
        "name": plugin.name,
        "distribution": plugin.distribution,
        "version": plugin.version,
        "state": state,
        "hooks": len(plugin.hooks),
        "departments": [each.code for each in plugin.declaration.departments],
        "error": plugin.error,
    }
