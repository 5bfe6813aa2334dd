import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from billing import registry

Billing = Callable[..., Result]
Install = Callable[..., Path]

COMMAND = """
import click
from billing.plugin import Declaration, hookimpl

@hookimpl
def declare():
    return Declaration()

@hookimpl
def register_commands(cli):
    for name in {names!r}:
        cli.add_command(click.Command(name, callback=lambda: click.echo("done by {plugin}"), help="Of {plugin}."))
"""


def command_plugin(plugin: str, *names: str) -> str:
    return COMMAND.format(names=names, plugin=plugin)


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Count how often plugins are loaded."""
    counted: list[object] = []
    load = registry.load

    def counting(**options: object) -> registry.Registry:
        counted.append(options)
        return load(**options)  # type: ignore[arg-type]

    monkeypatch.setattr(registry, "load", counting)
    return counted


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "clinic-billing"


def test_plugins_are_loaded_once_for_the_list(billing: Billing, loads: list[object]) -> None:
    first, second = billing("--help"), billing("--help")

    assert first.stdout == second.stdout
    assert "\n  salon         The grooming salon.\n" in second.stdout
    assert len(loads) == 1


def test_command_of_the_core_loads_no_list(billing: Billing, loads: list[object], cache: Path) -> None:
    billing("completion", "bash")

    assert loads == []
    assert not cache.exists()


def test_another_version_of_a_plugin_makes_the_list_anew(billing: Billing, install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BILLING_PLUGINS", "versioned")
    install("versioned", command_plugin("versioned", "early"), version="1.0")
    before = billing("--help").stdout
    install("versioned", command_plugin("versioned", "late"), version="1.1")
    monkeypatch.delitem(__import__("sys").modules, "billing_versioned_for_tests")

    after = billing("--help").stdout

    assert ("  early" in before, "  late" in before) == (True, False)
    assert ("  early" in after, "  late" in after) == (False, True)


def test_another_choice_of_plugins_makes_the_list_anew(billing: Billing, monkeypatch: pytest.MonkeyPatch) -> None:
    before = billing("--help").stdout
    monkeypatch.setenv("BILLING_PLUGINS", "")

    after = billing("--help").stdout

    assert ("From plugins" in before, "From plugins" in after) == (True, False)


def test_command_that_a_plugin_has_gained_is_found(billing: Billing, cache: Path) -> None:
    billing("--help")
    (file,) = cache.iterdir()
    content = json.loads(file.read_text())
    content["commands"] = [each for each in content["commands"] if each["name"] != "fail"]
    file.write_text(json.dumps(content))

    result = billing("fail", "Conflict")

    assert result.exit_code == 5
    assert "\n  fail" in billing("--help").stdout


def test_command_that_a_plugin_has_lost_is_explained(billing: Billing, cache: Path) -> None:
    billing("--help")
    (file,) = cache.iterdir()
    file.write_text(file.read_text().replace('"name": "fail"', '"name": "gone"'))

    result = billing("gone")

    assert result.exit_code == 6
    assert result.stderr.endswith("[plugin_command_gone]\n")


@pytest.mark.parametrize("rubbish", ["", "[]", '{"key": 1}', "\0", '{"key": null, "commands": [{}], "clashes": []}'])
def test_spoilt_list_is_made_anew(rubbish: str, billing: Billing, cache: Path) -> None:
    expected = billing("--help").stdout
    (file,) = cache.iterdir()
    file.write_text(rubbish)

    result = billing("--help")

    assert result.stdout == expected
    assert json.loads(file.read_text())["commands"]


def test_folder_that_can_not_be_written_only_costs_time(billing: Billing, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")

    result = billing("salon", "--help")

    assert (result.exit_code, result.stderr) == (0, "")


@pytest.mark.parametrize(
    "source",
    [
        "import nothing_of_this_name",
        "raise SystemExit(3)",
        "from billing.plugin import hookimpl\n\n@hookimpl\ndef declare():\n    return 1",
    ],
)
def test_broken_plugin_gets_one_line_and_the_rest_works(
    source: str, billing: Billing, install: Install, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    name = f"broken{request.node.callspec.indices['source']}"
    install(name, source)
    monkeypatch.setenv("BILLING_PLUGINS", f"grooming,{name}")

    result = billing("--help")

    assert result.exit_code == 0
    assert "\n  salon" in result.stdout
    assert result.stderr.startswith(f"warning: the plugin {name} is broken and left out: ")
    assert result.stderr.count("\n") == 1


def test_broken_plugin_is_told_until_it_is_mended(billing: Billing, install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    install("mended", "import nothing_of_this_name")
    monkeypatch.setenv("BILLING_PLUGINS", "mended")
    told = billing("--help").stderr, billing("--help").stderr
    install("mended", command_plugin("mended", "sew"))

    result = billing("sew")

    assert all("the plugin mended is broken" in each for each in told)
    assert (result.exit_code, result.stdout, result.stderr) == (0, "done by mended\n", "")


def test_plugin_whose_hook_for_commands_fails_keeps_the_others(billing: Billing, install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    source = command_plugin("wordless", "speak") + "    raise ValueError('no words')\n"
    install("wordless", source)
    monkeypatch.setenv("BILLING_PLUGINS", "grooming,wordless")

    result = billing("--help")

    assert "\n  salon" in result.stdout
    assert "\n  speak" not in result.stdout
    assert result.stderr.startswith("warning: the commands of the plugin wordless are left out: ")
    assert result.stderr.count("\n") == 1


def test_name_of_the_core_is_refused_to_a_plugin(billing: Billing, install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    install("greedy", command_plugin("greedy", "totals", "greed"))
    monkeypatch.setenv("BILLING_PLUGINS", "greedy")

    shown = [billing("--help"), billing("--help")]

    for result in shown:
        assert result.stderr == "warning: the command totals of the plugin greedy is left out: billing itself has one of that name\n"
    assert "documents in FILE" in billing("totals", "--help").stdout
    assert billing("greed").stdout == "done by greedy\n"


def test_name_of_an_earlier_plugin_is_refused_to_a_later_one(billing: Billing, install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    install("alpha", command_plugin("alpha", "both"))
    install("omega", command_plugin("omega", "both"))
    monkeypatch.setenv("BILLING_PLUGINS", "omega,alpha")

    result = billing("both")

    assert result.stdout == "done by alpha\n"
    assert "the command both of the plugin omega is left out: the plugin alpha has one of that name" in result.stderr


def test_plugin_that_is_not_installed_is_told_and_core_commands_are_listed(billing: Billing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BILLING_PLUGINS", "astrology")

    result = billing("--help")

    assert result.exit_code == 0
    assert "\n  invoice" in result.stdout
    assert "No plugin 'astrology' is installed" in result.stderr


def test_plugins_shows_what_is_broken_and_why(billing: Billing, install: Install, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    install("ill", "import nothing_of_this_name")
    monkeypatch.setenv("BILLING_PLUGINS", "grooming,ill")

    result = billing("plugins", "--json")

    states = {each["name"]: (each["state"], each["error"]) for each in json.loads(result.stdout)}
    assert states == {"grooming": ("active", None), "ill": ("failed", "ModuleNotFoundError: No module named 'nothing_of_this_name'")}
