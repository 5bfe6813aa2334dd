"""What commands work with: one unit of work for the clinic and actor of the command line, and output. Knows no command and no noun."""

import sys
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from billing.errors import Invalid, Misconfigured

if TYPE_CHECKING:
    from billing.database import Database
    from billing.registry import Registry
    from billing.settings import Settings
    from billing.transaction import Transaction

T = TypeVar("T")

NOTHING = "There is nothing to show."


class ClinicNotNamed(Invalid):
    """The command needs a clinic, and there is not exactly one that could be meant. Facts: `clinics`."""

    code = "clinic_not_named"


class NoDatabase(Misconfigured):
    """The database file does not exist. Facts: `path`."""

    code = "no_database"


class Console:
    """The `click.pass_obj` of every command. Everything is opened when it is first needed, so that `--help` opens nothing."""

    def __init__(self) -> None:
        self._chosen: dict[str, Any] = {}
        self._settings: Settings | None = None
        self._registry: Registry | None = None
        self._database: Database | None = None
        self._checked = False
        self._zone = "UTC"
        self._warned: set[str] = set()

    def choose(self, name: str, value: Any) -> None:
        """Take the value of a shared option: `as_json`, `login`, `clinic` or `database_url`."""
        self._chosen[name] = value

    @property
    def wants_json(self) -> bool:
        """Whether programs read what is printed."""
        return bool(self._chosen.get("as_json"))

    @property
    def settings(self) -> "Settings":
        """What the environment says, with `--database` above it. Raises `BadSetting`."""
        if self._settings is None:
            from dataclasses import replace

            from billing.settings import read_settings

            settings = read_settings()
            # Another database than the environment's has another owner's address, too: its own.
            if named := self._chosen.get("database_url"):
                settings = replace(settings, database_url=named, owner_database_url="")
            self._settings = settings
        return self._settings

    @property
    def registry(self) -> "Registry":
        """The plugins, loaded. One that is broken is told in one line; the others work. Raises `UnknownPlugin`."""
        if self._registry is None:
            from billing.services.installation import load_plugins

            self._registry = load_plugins(self.settings, alarm=True)
            for plugin in self._registry.plugins:
                if plugin.error is not None:
                    self.warn(f"the plugin {plugin.name} is broken and left out: {plugin.error}")
        return self._registry

    @property
    def database(self) -> "Database":
        """The database, at its migrations' heads. Raises `Misconfigured` errors that say what to run."""
        opened = self.open_database()
        if not self._checked:
            from billing import migrations

            migrations.require_current(opened.engine, registry=self.registry)
            self._checked = True
        return opened

    def open_database(self) -> "Database":
        """Return the database as it is, migrated or not. Raises `NoDatabase`, `BadDatabaseUrl`."""
        if self._database is None:
            from billing.services.installation import open_database

            _require_file(self.settings.database_url)
            self._database = open_database(plugins=self.registry, settings=self.settings)
        return self._database

    @property
    def actor(self) -> str:
        """The login of who acts."""
        return self._chosen.get("login") or self.settings.actor

    @property
    def names_clinic(self) -> bool:
        """Whether a clinic was named, by the line or by the environment."""
        return bool(self._chosen.get("clinic") or self.settings.clinic)

    @property
    def clinic(self) -> str:
        """The code of the clinic: as named, or the only one that the actor can see. Raises `ClinicNotNamed`."""
        named = self._chosen.get("clinic") or self.settings.clinic
        if not named:
            from billing.services.clinics import list_clinics

            codes = [each.code for each in self.database.read(list_clinics, actor=self.actor)]
            if len(codes) != 1:
                what = (
                    f"name one with --clinic CODE: {', '.join(codes)}" if codes else "there is none yet: `billing clinic create` makes one"
                )
                raise ClinicNotNamed(f"This needs a clinic; {what}.", clinics=codes)
            named = self._chosen["clinic"] = codes[0]
        return named

    def run(self, unit: "Callable[[Transaction], T]") -> T:
        """Run one unit of work in the clinic and commit it."""
        return self.database.run(self._noting_zone(unit), actor=self.actor, clinic=self.clinic)

    def read(self, unit: "Callable[[Transaction], T]") -> T:
        """Run one unit that only reads in the clinic."""
        return self.database.read(self._noting_zone(unit), actor=self.actor, clinic=self.clinic)

    def run_outside(self, unit: "Callable[[Transaction], T]") -> T:
        """Run one unit of work outside of any clinic and commit it."""
        return self.database.run(unit, actor=self.actor)

    def read_outside(self, unit: "Callable[[Transaction], T]") -> T:
        """Run one unit that only reads, outside of any clinic."""
        return self.database.read(unit, actor=self.actor)

    def show(self, data: Sequence[Mapping[str, Any]] | Mapping[str, Any], *, columns: Sequence[str] | None = None) -> None:
        """Print rows as a table (of `columns` only), or one thing field by field; all of it as JSON with --json."""
        from billing.interfaces.cli import render  # not for a page of help

        if self.wants_json:
            self.out(render.as_json(data))
        elif isinstance(data, Mapping):
            render.print_fields({name: data.get(name) for name in columns or data}, self._zone)
        elif data:
            render.print_table(data, columns or list(data[0]), self._zone)
        else:
            self.out(NOTHING)

    def show_parts(self, data: Mapping[str, Any], *, head: Sequence[str], parts: Mapping[str, Sequence[str]]) -> None:
        """Print a document: its head field by field, and below it each of its lists as a table of some columns; all of it with --json."""
        from billing.interfaces.cli import render  # not for a page of help

        if self.wants_json:
            self.out(render.as_json(data))
            return
        render.print_fields({name: data[name] for name in head if data[name] not in {None, ""}}, self._zone)
        for part, columns in parts.items():
            if data.get(part):
                self.out(f"\n{part}:")
                render.print_table(data[part], columns, self._zone)

    def show_pages(self, pages: Iterable[Sequence[dict[str, Any]]], *, columns: Sequence[str]) -> None:
        """Print any number of rows, page by page, in the memory of one page: a table for each, or one JSON array."""
        from billing.interfaces.cli import render  # not for a page of help

        if self.wants_json:
            render.print_json_rows(pages)
            return
        shown = False
        for page in pages:
            render.print_table(page, columns, self._zone)
            shown = True
        if not shown:
            self.out(NOTHING)

    def say(self, sentence: str) -> None:
        """Print one line for people; nothing with --json."""
        if not self.wants_json:
            self.out(sentence)

    def out(self, text: str) -> None:
        """Print text as it is."""
        click.echo(text)

    def warn(self, sentence: str) -> None:
        """Print one line on stderr, once."""
        if sentence not in self._warned:
            self._warned.add(sentence)
            click.echo(f"warning: {sentence}", err=True)

    @contextmanager
    def progress(self, label: str, total: int | None = None) -> Generator[Callable[[int], None]]:
        """Show a bar on stderr while the block works, on a terminal only; the block calls what it gets with the steps just done."""
        if self.wants_json or not sys.stderr.isatty():
            yield lambda _steps: None
            return
        from rich import progress
        from rich.console import Console as Terminal

        columns = (
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            progress.TimeRemainingColumn(),
        )
        with progress.Progress(*columns, console=Terminal(stderr=True), transient=True) as bar:
            task = bar.add_task(label, total=total)
            yield lambda steps: bar.advance(task, steps)

    def close(self) -> None:
        """Give the database's connections back."""
        if self._database is not None:
            self._database.dispose()
            self._database = None

    def _noting_zone(self, unit: "Callable[[Transaction], T]") -> "Callable[[Transaction], T]":
        """Let tables for people show the clinic's own time from here on; JSON has UTC."""

        def noting(tx: "Transaction") -> T:
            self._zone = tx.clinic.time_zone
            return unit(tx)

        return noting


def _require_file(url: str) -> None:
    """Raise `NoDatabase` where opening would make a new, empty SQLite file."""
    path = url.partition("://")[2].partition("?")[0].removeprefix("/")
    if url.startswith("sqlite") and path and path != ":memory:" and not Path(path).is_file():
        raise NoDatabase(f"There is no database at {path}: run `billing init` to make it, or name another with --database.", path=path)
