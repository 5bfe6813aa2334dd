"""The top of the command line: it finds the one command that is called, runs it, and says what went wrong. Knows no command itself."""

import importlib
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

import click

from billing.interfaces.cli import failures, shared, table
from billing.interfaces.cli.console import Console
from billing.interfaces.cli.plugin_commands import PluginCommands


class Lazy(click.Command):
    """Stands for a command in lists, help and completion until it is called; `load` brings the command itself."""

    def __init__(self, name: str, *, section: str, help_line: str, load: Callable[[], click.Command], hidden: bool = False) -> None:
        super().__init__(name, short_help=help_line, hidden=hidden)
        self.section = section
        self._load = load

    def load(self) -> click.Command:
        """Return the command, with the shared options on it and on all below it."""
        command = shared.share(self._load())
        command.name = self.name
        return command


class Frame(click.Group):
    """`billing`. Core's commands are known by the table, plugins' by their cache, so that neither is imported for a list."""

    def __init__(self) -> None:
        super().__init__(
            "billing",
            help="Billing for human and veterinary clinics.",
            params=[*shared.shared_options(hidden=False), _version_option()],
            context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
        )
        for name, entry in table.COMMANDS.items():
            self.add_command(Lazy(name, section=entry.section, help_line=entry.help, load=_importing(entry.target), hidden=entry.hidden))
        self._plugins_listed = False

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name the core's commands in the order of the table, then the plugins'."""
        self._list_plugins(ctx)
        return list(self.commands)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return what stands for the command; plugins are asked only where the core has none of that name."""
        if cmd_name not in self.commands:
            self._list_plugins(ctx, wanted=cmd_name)
        return self.commands.get(cmd_name)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that is called, and load it."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, command.load() if isinstance(command, Lazy) else command, rest

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands by section."""
        self._list_plugins(ctx)
        sections: dict[str, list[tuple[str, str]]] = {}
        for name, command in self.commands.items():
            assert isinstance(command, Lazy)
            if not command.hidden:
                sections.setdefault(command.section, []).append((name, command.short_help or ""))
        width = max(map(len, self.commands))
        for section, listed in sections.items():
            with formatter.section(section):
                formatter.write_dl([(name.ljust(width), line) for name, line in listed])

    def invoke(self, ctx: click.Context) -> None:
        """Run the command; what it returns is nobody's exit code."""
        super().invoke(ctx)

    def main(  # type: ignore[override]  # a program always ends itself: there is no other mode
        self, args: Sequence[str] | None = None, prog_name: str | None = None, complete_var: str | None = None, **extra: Any
    ) -> None:
        """Run one command line and exit with its code."""
        arguments = list(sys.argv[1:] if args is None else args)
        extra.pop("standalone_mode", None)
        console = extra.setdefault("obj", Console())
        try:
            code = super().main(arguments, prog_name or "billing", complete_var, standalone_mode=False, **extra)
            sys.stdout.flush()
        except BrokenPipeError:
            _forget_output()
            code = 1
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the outermost handler: whatever it is, people get one line
            code = failures.tell(error, as_json="--json" in arguments)
        finally:
            console.close()
        sys.exit(code or 0)

    def _list_plugins(self, ctx: click.Context, wanted: str | None = None) -> None:
        if self._plugins_listed:
            return
        self._plugins_listed = True
        plugins = PluginCommands(ctx.find_root().ensure_object(Console), taken=frozenset(self.commands))
        for each in plugins.listed(wanted=wanted):
            self.add_command(Lazy(each.name, section=table.FROM_PLUGINS, help_line=each.help, load=plugins.loading(each)))


def _version_option() -> click.Option:
    def show(context: click.Context, _: click.Parameter, value: bool) -> None:
        if value and not context.resilient_parsing:
            from importlib.metadata import version

            click.echo(f"billing {version('clinic-billing')}")
            context.exit()

    return click.Option(["--version"], is_flag=True, is_eager=True, expose_value=False, callback=show, help="Show the version and exit.")


def _importing(target: str) -> Callable[[], click.Command]:
    def load() -> click.Command:
        module, _, attribute = target.partition(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command), f"{target} is no command"
        return command

    return load


def _forget_output() -> None:
    # Nobody reads any more; the interpreter would complain about it at its exit.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
