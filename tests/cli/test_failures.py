import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

Billing = Callable[..., Result]

EXIT_CODES = [("Invalid", 2), ("NotFound", 3), ("Refused", 4), ("Conflict", 5), ("Misconfigured", 6), ("PluginViolation", 7)]


@pytest.mark.parametrize(("family", "exit_code"), EXIT_CODES)
def test_family_of_the_error_gives_the_exit_code(family: str, exit_code: int, billing: Billing) -> None:
    result = billing("fail", family)

    assert (result.exit_code, result.stdout) == (exit_code, "")


def test_error_is_one_line_with_its_code(billing: Billing) -> None:
    result = billing("fail", "Refused")

    assert result.stderr == "error: It went wrong: do something else. [refused]\n"


def test_error_is_json_with_its_facts(billing: Billing) -> None:
    result = billing("fail", "Refused", "--json")

    assert (result.exit_code, result.stdout) == (4, "")
    assert json.loads(result.stderr) == {
        "error": {"code": "refused", "message": "It went\n  wrong: do something else.", "item_code": "AMX500", "left": 6}
    }


@pytest.mark.parametrize("line", [["pay", "--nonsense"], ["invoice", "issue"], ["nonsense"], ["pay"]])
def test_line_that_is_not_understood_exits_2(line: list[str], billing: Billing) -> None:
    result = billing(*line)

    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("error: ")
    assert result.stderr.endswith(" [usage]\n")


def test_line_that_is_not_understood_is_json_too(billing: Billing) -> None:
    result = billing("pay", "--nonsense", "--json")

    assert json.loads(result.stderr)["error"]["code"] == "usage"


def test_group_alone_shows_its_help(billing: Billing) -> None:
    result = billing("invoice")

    assert result.exit_code == 2
    assert result.stderr.startswith("Usage: billing invoice")


def test_bug_is_one_line_without_a_trace(billing: Billing) -> None:
    result = billing("fail", "bug")

    assert result.exit_code == 70
    assert result.stderr == "error: ZeroDivisionError: one - this is a bug: run with BILLING_DEBUG=1 for the trace [internal]\n"


def test_bug_has_its_trace_when_asked_for(billing: Billing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BILLING_DEBUG", "1")

    result = billing("fail", "bug")

    assert result.exit_code == 70
    assert result.stderr.startswith("Traceback (most recent call last):")
    assert result.stderr.count("ZeroDivisionError: one\ntwo\n") == 1


def test_interrupted_command_exits_130(billing: Billing) -> None:
    result = billing("fail", "stop")

    assert result.exit_code == 130
    assert result.stderr.strip() == "error: Stopped. [stopped]"


@pytest.mark.parametrize(("what", "exit_code"), [("return", 0), ("exit", 9)])
def test_command_of_a_plugin_chooses_its_exit_code_by_exiting_only(what: str, exit_code: int, billing: Billing) -> None:
    assert billing("fail", what).exit_code == exit_code


def test_missing_database_is_not_made_by_looking(billing: Billing, tmp_path: Path) -> None:
    result = billing("clinic", "list")

    assert result.exit_code == 6
    assert "run `billing init` to make it" in result.stderr
    assert not (tmp_path / "nowhere.sqlite3").exists()


def test_database_without_tables_says_what_to_run(billing: Billing, empty_sqlite_url: str) -> None:
    Path(empty_sqlite_url.removeprefix("sqlite:///")).touch()

    result = billing("clinic", "list", "--database", empty_sqlite_url)

    assert result.exit_code == 6
    assert "billing db upgrade" in result.stderr
    assert result.stderr.endswith("[migration_missing]\n")


@pytest.mark.parametrize("url", ["nonsense", "mysql://host/billing", "sqlite://", "sqlite:///:memory:"])
def test_wrong_database_address_is_explained(url: str, billing: Billing) -> None:
    result = billing("clinic", "list", "--database", url)

    assert result.exit_code == 6
    assert result.stderr.endswith("[bad_database_url]\n")


def test_wrong_setting_is_named(billing: Billing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BILLING_HOOK_BUDGET_SECONDS", "soon")

    result = billing("clinic", "list")

    assert result.exit_code == 6
    assert "BILLING_HOOK_BUDGET_SECONDS can't be used" in result.stderr


@pytest.mark.parametrize(
    ("line", "code"),
    [(["--as", "nobody", "clinic", "list"], "unknown_actor"), (["clinic", "show", "--clinic", "elsewhere"], "unknown_clinic")],
)
def test_unknown_actor_and_clinic_are_not_found(line: list[str], code: str, billing: Billing, database: str) -> None:
    result = billing(*line)

    assert result.exit_code == 3
    assert result.stderr.endswith(f"[{code}]\n")


def test_missing_permission_is_refused(billing: Billing, database: str) -> None:
    billing("staff", "add", "--login", "ann", "--name", "Ann", "--role", "cashier")

    result = billing("staff", "add", "--login", "eve", "--name", "Eve", "--role", "admin", "--as", "ann", "--clinic", "north")

    assert result.exit_code == 4
    assert result.stderr.endswith("[permission_missing]\n")


def test_reader_that_goes_away_is_no_error(database: str) -> None:
    program = [sys.executable, "-c", "from billing.interfaces.cli import main; main()", "clinic", "show", "--json"]

    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.close()
        complaint = running.stderr.read()

    assert (running.returncode, complaint) == (1, b"")
