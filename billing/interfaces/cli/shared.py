"""The options that every command takes, before or after its name, and the line about them. Knows what they set, not what that does."""

from typing import Any

import click

from billing.interfaces.cli.console import Console

OURS = "shared_"
"""Before the names of these parameters, so that a command may have a parameter `login` or `clinic` of its own."""

EPILOG = "Every command also takes --json, --as LOGIN, --clinic CODE and --database URL: see `billing --help`."


def share(command: click.Command) -> click.Command:
    """Add the shared options to a command and all below it, except where a command has an option of that name."""
    taken = {name for param in command.params for name in param.opts}
    own = [option for option in shared_options(hidden=True) if not taken.intersection(option.opts)]
    if own:
        command.params = [*command.params, *own]
        command.epilog = f"{command.epilog}\n\n{EPILOG}" if command.epilog else EPILOG
    if isinstance(command, click.Group):
        for child in command.commands.values():
            share(child)
    return command


def shared_options(*, hidden: bool) -> list[click.Option]:
    """Return the options, shown in the help of the top only."""
    wanted: list[tuple[list[str], dict[str, Any]]] = [
        (["--json", OURS + "as_json"], {"is_flag": True, "help": "Print JSON: amounts as decimal texts, lists as arrays."}),
        (["--as", OURS + "login"], {"metavar": "LOGIN", "help": "Who acts. [default: BILLING_ACTOR, or operator]"}),
        (["--clinic", OURS + "clinic"], {"metavar": "CODE", "help": "The clinic. [default: BILLING_CLINIC, or the only one]"}),
        (
            ["--database", OURS + "database_url"],
            {"metavar": "URL", "help": "Where the data is. [default: BILLING_DATABASE_URL, or a file]"},
        ),
    ]
    return [click.Option(names, expose_value=False, hidden=hidden, callback=_choose, **details) for names, details in wanted]


def _choose(context: click.Context, param: click.Parameter, value: Any) -> None:
    # What stands later on the line wins; what is not given changes nothing. `--help` and completion need no console.
    if value and param.name and not context.resilient_parsing:
        context.find_root().ensure_object(Console).choose(param.name.removeprefix(OURS), value)
