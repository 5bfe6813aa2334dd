"""What went wrong, in one line on stderr, and the exit code that goes with it. Knows no command."""

import json
from collections.abc import Mapping
from typing import Any

import click

from billing.errors import BillingError

BUG_EXIT_CODE = 70
STOPPED_EXIT_CODE = 130


def tell(error: BaseException, *, as_json: bool) -> int:
    """Print the error on stderr and return the exit code. Not for `SystemExit`."""
    match error:
        case click.exceptions.NoArgsIsHelpError():
            error.show()
            return error.exit_code
        case click.UsageError():
            _print(_usage(error), "usage", {}, as_json=as_json)
            return error.exit_code
        case click.ClickException():
            _print(error.format_message(), "usage", {}, as_json=as_json)
            return error.exit_code
        case click.Abort() | KeyboardInterrupt():
            _print("Stopped.", "stopped", {}, as_json=as_json)
            return STOPPED_EXIT_CODE
        case BillingError():
            _print(error.sentence, error.code, error.facts, as_json=as_json)
            return error.exit_code
    return _tell_bug(error, as_json=as_json)


def _tell_bug(error: BaseException, *, as_json: bool) -> int:
    if _debugging():
        import traceback

        click.echo("".join(traceback.format_exception(error)), err=True, nl=False)
    first_line = next(iter(str(error).splitlines()), "")
    _print(
        f"{type(error).__name__}: {first_line[:300]} - this is a bug: run with BILLING_DEBUG=1 for the trace",
        "internal",
        {},
        as_json=as_json,
    )
    return BUG_EXIT_CODE


def _print(sentence: str, code: str, facts: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        content = {"code": code, "message": sentence, **{name: value for name, value in facts.items() if name not in {"code", "message"}}}
        click.echo(json.dumps({"error": content}, ensure_ascii=False, default=str), err=True)
        return
    line = " ".join(sentence.split())  # one line, whatever a driver or a plugin has put into its sentence
    click.echo(f"error: {line} [{code}]", err=True)


def _usage(error: click.UsageError) -> str:
    command = error.ctx.command_path if error.ctx else "billing"
    return f"{error.format_message()} Try `{command} --help`."


def _debugging() -> bool:
    from billing.settings import BadSetting, read_settings

    try:
        return read_settings().debug
    except BadSetting:
        return False
