import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import click
import pytest
from click.testing import Result

from billing.interfaces.cli import shared, table
from billing.interfaces.cli.console import Console
from billing.interfaces.cli.frame import Frame, Lazy

if TYPE_CHECKING:
    from billing.plugin import Console as Promised

Asked = Callable[..., Any]
Billing = Callable[..., Result]

HEAVY = ["sqlalchemy", "pydantic", "alembic", "jinja2", "babel", "rich", "billing.model", "billing.registry", "billing_grooming_for_tests"]


def leaves(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    if not isinstance(command, click.Group):
        yield path, command
        return
    for name, child in command.commands.items():
        yield from leaves(child.load() if isinstance(child, Lazy) else child, (*path, name))


def core_leaves() -> list[tuple[tuple[str, ...], click.Command]]:
    return list(leaves(Frame()))


def test_help_lists_every_command_in_its_section(billing: Billing) -> None:
    result = billing("--help")

    assert result.exit_code == 0
    for name, entry in table.COMMANDS.items():
        assert f"\n{entry.section}:\n" in result.stdout
        assert (f"\n  {name} " in result.stdout) is not entry.hidden
    assert "\nFrom plugins:\n  fail" in result.stdout


@pytest.mark.parametrize("line", [["--help"], ["--version"], *([name, "--help"] for name in table.COMMANDS)], ids=" ".join)
def test_help_imports_nothing_heavy_once_the_plugins_are_listed(line: list[str], billing: Billing) -> None:
    billing("--help")  # makes the list
    program = f"""
import sys
from billing.interfaces.cli.frame import Frame
try:
    Frame().main({line})
except SystemExit as end:
    print(end.code, sorted(name for name in {HEAVY} if name in sys.modules))
"""

    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert shown.stdout.splitlines()[-1] == "0 []"
    assert shown.stderr == ""


def test_console_is_what_plugins_are_promised() -> None:
    promised: Promised = Console()

    assert isinstance(promised, Console)


@pytest.mark.parametrize("name", table.COMMANDS)
def test_every_command_of_the_table_is_there_and_has_help(name: str, billing: Billing) -> None:
    result = billing(name, "--help")

    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(f"Usage: billing {name}")
    assert shared.EPILOG.split(":", maxsplit=1)[0].replace("\n", " ")[:40] in " ".join(result.stdout.split())


def test_every_leaf_takes_the_shared_options_and_says_what_it_does() -> None:
    for path, command in core_leaves():
        options = {name for param in command.params for name in param.opts}

        assert {"--json", "--as", "--clinic", "--database"} <= options, path
        assert command.help or command.short_help, path


@pytest.mark.parametrize(
    "line",
    [
        ["--json", "--clinic", "north", "salon", "brush", "Rex"],
        ["salon", "--json", "brush", "--clinic", "north", "Rex"],
        ["salon", "brush", "Rex", "--clinic", "north", "--json"],
    ],
)
def test_shared_options_stand_anywhere_on_the_line_of_a_plugins_command_too(line: list[str], billing: Billing, database: str) -> None:
    result = billing(*line)

    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == [{"name": "Rex", "clinic": "north", "actor": "operator"}]


def test_what_stands_later_on_the_line_wins(billing: Billing, database: str) -> None:
    result = billing("--clinic", "elsewhere", "--as", "nobody", "salon", "brush", "Rex", "--clinic", "north", "--as", "operator")

    assert result.exit_code == 0, result.output


def test_command_keeps_an_option_of_its_own(billing: Billing) -> None:
    result = billing("salon", "own", "--login", "ann", "--json", "--clinic", "north")

    assert result.stdout == "login=ann own=True\n"


def test_people_get_a_table_and_sentences(billing: Billing, database: str) -> None:
    result = billing("salon", "brush", "Rex")

    assert result.stdout == "Brushing Rex.\nname  clinic  actor\nRex   north   operator\n"


def test_only_clinic_is_meant_where_none_is_named(billing: Billing, database: str) -> None:
    one = billing("salon", "brush", "Rex")
    billing("clinic", "create", "--code", "south", "--name", "South", "--currency", "KWD", "--time-zone", "Asia/Kuwait")

    two = billing("salon", "brush", "Rex")

    assert one.exit_code == 0
    assert (two.exit_code, two.stdout) == (2, "")
    assert two.stderr == "error: This needs a clinic; name one with --clinic CODE: north, south. [clinic_not_named]\n"


def test_clinic_and_actor_come_from_the_environment(billing: Billing, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    billing("clinic", "create", "--code", "south", "--name", "South", "--currency", "KWD", "--time-zone", "Asia/Kuwait")
    billing("staff", "add", "--login", "ann", "--name", "Ann", "--role", "cashier", "--clinic", "south")
    monkeypatch.setenv("BILLING_CLINIC", "south")
    monkeypatch.setenv("BILLING_ACTOR", "ann")

    result = billing("salon", "brush", "Rex", "--json")

    assert json.loads(result.stdout) == [{"name": "Rex", "clinic": "south", "actor": "ann"}]


def test_misspelt_command_gets_a_suggestion(billing: Billing) -> None:
    result = billing("pya")

    assert result.exit_code == 2
    assert result.stderr == "error: No such command 'pya'. Did you mean 'pay'? Try `billing --help`. [usage]\n"


def test_misspelt_command_of_a_plugin_gets_a_suggestion(billing: Billing) -> None:
    result = billing("salom")

    assert "Did you mean 'salon'?" in result.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_script_is_printed(shell: str, billing: Billing) -> None:
    result = billing("completion", shell)

    assert result.exit_code == 0
    assert "_BILLING_COMPLETE" in result.stdout


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("billing pa", ["plain,patient", "plain,pay", "plain,pay-all", "plain,payer"]),
        ("billing sal", ["plain,salon"]),
        ("billing invoice pr", ["plain,preview", "plain,print"]),
    ],
)
def test_names_are_completed(words: str, completed: list[str], billing: Billing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_BILLING_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(words.count(" ")))

    result = billing()

    assert result.stdout.split() == completed
