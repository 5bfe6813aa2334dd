"""The command line in this process, with a plugin that the tests bring along as an installed distribution would."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from billing.interfaces.cli.frame import Frame

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
        console.say(f"Brushing {name}.")
        console.show([{"name": name, "clinic": console.read(lambda tx: tx.clinic.code), "actor": console.read(lambda tx: tx.actor.login)}])

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
def grooming(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Bring the plugin `grooming`: a department without effects, and commands. Other installed plugins stay out."""
    folder = tmp_path_factory.mktemp("grooming")
    write_distribution(folder, "grooming", module="billing_grooming_for_tests", source=GROOMING)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield folder


@pytest.fixture(autouse=True)
def own_environment(grooming: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give each test a cache, a database address and the one plugin."""
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
    """Run a command line in this process."""

    def run(*args: str, stdin: str | None = None, env: dict[str, str] | None = None) -> Result:
        return CliRunner(catch_exceptions=False).invoke(Frame(), list(args), input=stdin, env=env)

    return run


@pytest.fixture
def database(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Use a migrated database with the operator and the clinic north (EUR, Berlin)."""
    monkeypatch.setenv("BILLING_DATABASE_URL", sqlite_url)
    runner = CliRunner(catch_exceptions=False)
    made = runner.invoke(Frame(), ["init"]), runner.invoke(Frame(), [*FOUND, "--code", "north", "--name", "North"])
    assert [each.exit_code for each in made] == [0, 0], [each.output for each in made]
    return sqlite_url


FOUND = ["clinic", "create", "--currency", "EUR", "--time-zone", "Europe/Berlin"]


def write_distribution(folder: Path, name: str, *, module: str, source: str, version: str = "1.0") -> Path:
    """Write what `pip install` would leave of a plugin."""
    (folder / f"{module}.py").write_text(source)
    info = folder / f"clinic_billing_{name}-0.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: clinic-billing-{name}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(f"[billing.plugins]\n{name} = {module}\n")
    return folder


def said(result: Result) -> Any:
    """Return the JSON that a command printed."""
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)
