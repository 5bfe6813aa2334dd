"""All that can be called: services and commands, found by walking packages and the command tree, so that no test forgets one."""

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import click

from billing.database import Database
from billing.interfaces.cli.console import Console
from billing.interfaces.cli.frame import Frame, Lazy
from billing.registry import Registry

NO_SERVICES = ("hooks", "commands")
"""Modules of a plugin that the core calls, or that people do."""


@dataclass(frozen=True, slots=True)
class Service:
    """A public function that takes the open transaction first. Its name begins below the package: `payments.take_payment`."""

    name: str
    function: Callable[..., Any]

    @property
    def parameters(self) -> Mapping[str, inspect.Parameter]:
        """Its parameters but the transaction."""
        return dict(list(inspect.signature(self.function).parameters.items())[1:])


def find_services(packages: Mapping[str, Collection[str]]) -> Iterator[Service]:
    """Find the services of packages; each with the modules and functions in it that are none, by name."""
    for root, inner in packages.items():
        for found in pkgutil.walk_packages(importlib.import_module(root).__path__, f"{root}."):
            if ".migrations" in found.name or found.name.endswith(NO_SERVICES):
                continue
            module = importlib.import_module(found.name)
            place = found.name.removeprefix(f"{root}.")
            for name, function in vars(module).items():
                own = inspect.isfunction(function) and function.__module__ == found.name and not name.startswith("_")
                if own and next(iter(inspect.signature(function).parameters), "") == "tx" and not {place, f"{place}.{name}"} & set(inner):
                    yield Service(f"{place}.{name}", function)


def find_commands(command: click.Command | None = None, path: str = "") -> Iterator[tuple[str, click.Command]]:
    """Find every command, plugins' too, with its path: `invoice create`."""
    asked = command or Frame()
    loaded = asked.load() if isinstance(asked, Lazy) else asked
    if not isinstance(loaded, click.Group):
        yield path, loaded
        return
    context = click.Context(loaded, obj=Console())
    for name in loaded.list_commands(context):
        child = loaded.get_command(context, name)
        assert child is not None, f"{path} lists {name} and does not have it"
        yield from find_commands(child, f"{path} {name}".strip())


class OpenConsole(Console):
    """The console of a command line whose database stays open for the next line: thousands of lines can be tried."""

    def __init__(self, plugins: Registry, database: Database) -> None:
        super().__init__()
        self._plugins, self._kept = plugins, database

    @property
    def registry(self) -> Registry:
        """The plugins as given."""
        return self._plugins

    @property
    def database(self) -> Database:
        """The database as given."""
        return self._kept

    def open_database(self) -> Database:
        """Return the database as given."""
        return self._kept

    def close(self) -> None:
        """Keep it."""
