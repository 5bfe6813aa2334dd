"""`billing completion`: the script that a shell sources. Knows the shells that click knows."""

import click
from click.shell_completion import get_completion_class

from billing.interfaces.cli.console import Console


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_obj
def completion(console: Console, shell: str) -> None:
    """Print the completion script of SHELL; for bash: eval "$(billing completion bash)"."""
    found = get_completion_class(shell)
    assert found is not None, "click completes all shells that are offered"
    console.out(found(click.Group("billing"), {}, "billing", "_BILLING_COMPLETE").source())
