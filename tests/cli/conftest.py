"""The command line in this process, with a plugin that the tests bring along as an installed distribution would."""

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from billing.interfaces.cli.frame import Frame

Asked = Callable[..., Any]
Billing = Callable[..., Result]
Install = Callable[..., Path]

GROOMING = '''
import click
from billing.plugin import (
    Conflict, Declaration, Department, Invalid, Misconfigured, NotFound, PluginViolation, Refused, hookimpl
)

FAMILIES = {each.__name__: each for each in (Invalid, NotFound, Refused, Conflict, Misconfigured, PluginViolation)}


@hookimpl
def declare():
    return Declaration(departments=(Department("grooming", "Grooming", effects=False),))


@hookimpl
def register_commands(cli):
    @cli.group()
    def salon():
        """The grooming salon."""

    @salon.command()
    @click.argument("name")
    @click.pass_obj
    def brush(console, name):
        """Brush somebody."""
        clinic, actor = console.read(lambda tx: (tx.clinic.code, tx.actor.login))
        console.say(f"Brushing {name}.")
        console.show([{"name": name, "clinic": clinic, "actor": actor}])

    @salon.command()
    @click.option("--login")
    @click.option("--json", "own_json", is_flag=True, help="Mine.")
    @click.pass_obj
    def own(console, login, own_json):
        console.out(f"login={login} own={own_json}")

    @cli.command()
    @click.argument("what")
    @click.pass_obj
    def fail(console, what):
        """Fail."""
        if what in FAMILIES:
            raise FAMILIES[what]("It went\\n  wrong: do something else.", item_code="AMX500", left=6)
        if what == "bug":
            raise ZeroDivisionError("one\\ntwo")
        if what == "stop":
            raise KeyboardInterrupt
        if what == "return":
            return 3
        raise SystemExit(9)
'''


@pytest.fixture(scope="session")
def grooming(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the plugin `grooming`: a department without effects, and commands."""
    folder = tmp_path_factory.mktemp("grooming")
    return write_distribution(folder, "grooming", module="billing_grooming_for_tests", source=GROOMING)


@pytest.fixture(autouse=True)
def own_environment(grooming: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give each test a cache, a database address, and the one plugin; a command in a process of its own gets them too."""
    monkeypatch.syspath_prepend(grooming)
    monkeypatch.setenv("PYTHONPATH", str(grooming))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("BILLING_PLUGINS", "grooming")
    monkeypatch.setenv("BILLING_DATABASE_URL", f"sqlite:///{tmp_path / 'nowhere.sqlite3'}")


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Install another plugin for this test: `install(name, source)`."""
    folder = tmp_path / "installed"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)

    def one(name: str, source: str, *, version: str = "1.0") -> Path:
        return write_distribution(folder, name, module=f"billing_{name}_for_tests", source=source, version=version)

    return one


@pytest.fixture
def billing() -> Billing:
    """Run a command line in this process: `billing("invoice", "list")`."""

    def run(*args: str, stdin: str | bytes | None = None) -> Result:
        return CliRunner(catch_exceptions=False).invoke(Frame(), list(args), input=stdin)

    return run


@pytest.fixture
def asked(billing: Billing) -> Asked:
    """Run a command line with --json that must go well, and return what it printed."""

    def run(*args: str, stdin: str | bytes | None = None) -> Any:
        result = billing("--json", *args, stdin=stdin)
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    return run


@pytest.fixture(scope="session")
def founded(tmp_path_factory: pytest.TempPathFactory, grooming: Path) -> Path:
    """Make a SQLite file with the operator and the clinic north, which the tests copy."""
    path = tmp_path_factory.mktemp("founded") / "founded.sqlite3"
    clinic = ["clinic", "create", "--code", "north", "--name", "North", "--currency", "EUR", "--time-zone", "Europe/Berlin"]
    clinic += ["--policy", "cash_needs_shift=false"]  # most tests pay without opening one
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(grooming)
        patch.setenv("BILLING_PLUGINS", "grooming")
        for args in (["init"], clinic):
            result = CliRunner(catch_exceptions=False).invoke(Frame(), [*args, "--database", f"sqlite:///{path}"])
            assert result.exit_code == 0, result.output
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # all in the one file that is copied
    return path


@pytest.fixture
def database(founded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Use a database of this test's own with the operator and the clinic north."""
    path = tmp_path / "billing.sqlite3"
    shutil.copyfile(founded, path)
    monkeypatch.setenv("BILLING_DATABASE_URL", f"sqlite:///{path}")
    return f"sqlite:///{path}"


def write_distribution(folder: Path, name: str, *, module: str, source: str, version: str = "1.0") -> Path:
    """Write what `pip install` would leave of a plugin."""
    (folder / f"{module}.py").write_text(source)
    for before in folder.glob(f"clinic_billing_{name}-*.dist-info"):
        shutil.rmtree(before)
    info = folder / f"clinic_billing_{name}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: clinic-billing-{name}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(f"[billing.plugins]\n{name} = {module}\n")
    return folder
