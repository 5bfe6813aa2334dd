"""The commands that plugins add by `register_commands`: their list from a small cache, themselves when they are called.

The cache spares `billing --help` the loading of all plugins. It holds names and lines of help only and is rebuilt when another set of
plugins is installed or chosen, and when a name is asked for that it doesn't have (a plugin under development has gained a command).
"""

import json
import os
import sys
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from billing.errors import BillingError, Misconfigured
from billing.interfaces.cli.console import Console

if TYPE_CHECKING:
    from billing.registry import Plugin

_INSTALLED = (".dist-info", ".egg-info")


class PluginCommandGone(Misconfigured):
    """The plugin doesn't bring the command any more, or can't be loaded. Facts: `plugin`, `command`."""

    code = "plugin_command_gone"


@dataclass(frozen=True, slots=True)
class Listed:
    """A command of a plugin, as the cache knows it."""

    name: str
    help: str
    plugin: str


class PluginCommands:
    """Lists and loads the plugins' commands. `taken` are the core's names, which no plugin may use."""

    def __init__(self, console: Console, *, taken: frozenset[str]) -> None:
        self._console = console
        self._taken = taken

    def listed(self, *, wanted: str | None = None) -> list[Listed]:
        """Return the plugins' commands, by the cache if it is fresh and, where one is `wanted`, has it. Never raises `BillingError`."""
        try:
            key = _key(self._console.settings.plugins)
            cached = _read(key)
            if cached is None or (wanted is not None and wanted not in {each.name for each in cached[0]}):
                cached = self._rebuild(key)
        except BillingError as error:
            self._console.warn(f"no command of a plugin is known: {error.sentence}")
            return []
        commands, clashes = cached
        for clash in clashes:
            self._console.warn(clash)
        return commands

    def loading(self, listed: Listed) -> Callable[[], click.Command]:
        """Return what loads the command. It raises `PluginCommandGone`."""

        def load() -> click.Command:
            plugin = self._console.registry.plugin(listed.plugin)
            command = self._ask(plugin).get(listed.name)
            if command is None:
                sentence = f"The plugin {plugin.name} can't bring its command {listed.name}: `billing plugins` shows its state."
                raise PluginCommandGone(sentence, plugin=plugin.name, command=listed.name)
            return command

        return load

    def _rebuild(self, key: list[Any]) -> tuple[list[Listed], list[str]]:
        commands: list[Listed] = []
        clashes: list[str] = []
        owners = dict.fromkeys(self._taken, "billing itself")
        plugins = self._console.registry.plugins
        for plugin in plugins:
            for name, command in self._ask(plugin).items():
                if name in owners:
                    clashes.append(f"the command {name} of the plugin {plugin.name} is left out: {owners[name]} has one of that name")
                    continue
                owners[name] = f"the plugin {plugin.name}"
                commands.append(Listed(name, command.get_short_help_str(80), plugin.name))
        commands.sort(key=lambda each: each.name)
        if all(plugin.error is None for plugin in plugins):  # a broken one may be mended without any sign
            _write(key, commands, clashes)
        return commands, clashes

    def _ask(self, plugin: "Plugin") -> dict[str, click.Command]:
        if plugin.error is not None:
            return {}
        collected = click.Group()
        try:
            self._console.registry.register_commands(plugin, collected)
        except BillingError as error:
            self._console.warn(f"the commands of the plugin {plugin.name} are left out: {error.sentence}")
            return {}
        return dict(collected.commands)


def _key(chosen: str | None) -> list[Any]:
    """Return what changes whenever other plugins, or other versions of them, could be loaded: what is installed, and since when.

    Each installed distribution is a folder beside its modules. Their names and times are read, not their contents: that is quick.
    """
    found = []
    for place in sys.path:
        with suppress(OSError), os.scandir(place or ".") as entries:
            found += [[entry.path, entry.stat().st_mtime_ns] for entry in entries if entry.name.endswith(_INSTALLED)]
    return [chosen, sorted(found)]


def _path() -> Path:
    from platformdirs import user_cache_path

    place = f"{zlib.crc32(sys.prefix.encode()):08x}"  # each environment has its own plugins
    return user_cache_path("clinic-billing", appauthor=False) / f"commands-{place}.json"


def _read(key: list[Any]) -> tuple[list[Listed], list[str]] | None:
    try:
        content: Any = json.loads(_path().read_text(encoding="utf-8"))
        if content["key"] != key:
            return None
        return [Listed(**each) for each in content["commands"]], [str(each) for each in content["clashes"]]
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _write(key: list[Any], commands: list[Listed], clashes: list[str]) -> None:
    import tempfile

    content = {"key": key, "commands": [asdict(each) for each in commands], "clashes": clashes}
    path = _path()
    with suppress(OSError):  # without a cache the next command is slower, nothing else
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, encoding="utf-8", delete=False) as file:
            json.dump(content, file)
        Path(file.name).replace(path)
