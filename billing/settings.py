"""The only reader of the environment. Every setting has a sentence, a default, and an error that names the variable.

It knows neither the database nor a clinic, and imports next to nothing: `billing --help` reads the settings too.
"""

import math
import os
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from billing.errors import Misconfigured

PREFIX = "BILLING_"

_TRUE, _FALSE = frozenset({"1", "true", "yes", "on"}), frozenset({"", "0", "false", "no", "off"})


class BadSetting(Misconfigured):
    """An environment variable has a value that can't be used. Facts: `variable`."""

    code = "bad_setting"


def _text(default: str | None, description: str, *, example: str, empty: bool = True) -> Any:
    return field(default=default, metadata={"description": description, "example": example, "empty": empty})


def _flag(description: str) -> Any:
    return field(default=False, metadata={"description": description, "example": "1"})


def _choice(default: str, description: str, *, choices: tuple[str, ...]) -> Any:
    return field(default=default, metadata={"description": description, "example": choices[-1], "choices": choices})


def _seconds(default: float, description: str, *, most: int) -> Any:
    return field(default=default, metadata={"description": description, "example": str(default), "most": most})


@dataclass(frozen=True, slots=True)
class Settings:
    """What an installation chooses through `BILLING_*` variables; each field's metadata has its description."""

    database_url: str = _text(
        "", "Where the data is; default: a SQLite file in the user's data folder.", example="postgresql://user@host/billing"
    )
    owner_database_url: str = _text(
        "",
        "The same database as the owner of its tables, who migrates it; default: the one address.",
        example="postgresql://owner@host/billing",
    )
    actor: str = _text("operator", "The login of who acts, where a command has no --as.", example="operator", empty=False)
    clinic: str = _text("", "The code of the clinic, where a command has no --clinic.", example="north")
    plugins: str | None = _text(None, "Load exactly these plugins (names, comma separated), for rescue and tests.", example="first,second")
    debug: bool = _flag("Show the trace of an error that is a bug.")
    trace_hooks: bool = _flag("Print each call of a plugin's hook, with its time, to stderr.")
    failpoints: str = _text(
        "", "Make named points of the work fail: for tests of faults only, with a warning on stderr.", example="commit.before=exit"
    )
    hook_budget_seconds: float = _seconds(2.0, "A hook that takes longer fails the payment.", most=60)
    lock_timeout_seconds: float = _seconds(5.0, "How long a unit waits for a row that another holds.", most=600)
    statement_timeout_seconds: float = _seconds(30.0, "PostgreSQL ends a statement that runs longer.", most=86_400)
    idle_timeout_seconds: float = _seconds(15.0, "PostgreSQL ends a unit that holds locks and does nothing.", most=3600)
    carrier: str = _choice(
        "direct",
        "How statements travel to PostgreSQL: `direct` (prepared, quickest) or `pipeline` (nothing prepared, for a pooler of transactions).",
        choices=("direct", "pipeline"),
    )

    @property
    def owner_url(self) -> str:
        """Where the database is migrated and restored."""
        return self.owner_database_url or self.database_url

    def session_values(self) -> dict[str, str]:
        """Return what a session on PostgreSQL has to be set to: its limits in milliseconds, and UTC."""
        limits = {
            "lock_timeout": self.lock_timeout_seconds,
            "statement_timeout": self.statement_timeout_seconds,
            "idle_in_transaction_session_timeout": self.idle_timeout_seconds,
        }
        return {name: str(round(seconds * 1000)) for name, seconds in limits.items()} | {"timezone": "UTC"}

    @property
    def plugin_names(self) -> list[str] | None:
        """The plugins to load, or None for all that are installed."""
        return None if self.plugins is None else [name for each in self.plugins.split(",") if (name := each.strip())]


def read_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """Read the settings from the environment. Raises `BadSetting` naming the variable."""
    source = os.environ if environment is None else environment
    given = {each.name: _read(each, source[variable]) for each in fields(Settings) if (variable := PREFIX + each.name.upper()) in source}
    settings = Settings(**given)
    if settings.database_url:
        return settings
    return replace(settings, database_url=f"sqlite:///{default_database_path()}")


def default_database_path() -> Path:
    """Return the SQLite file that is used when no database is named; its folder is made on first use."""
    from platformdirs import user_data_path

    return user_data_path("clinic-billing", appauthor=False, ensure_exists=False) / "billing.sqlite3"


def _read(setting: Field[Any], text: str) -> Any:
    try:
        if isinstance(setting.default, bool):
            return _read_flag(text)
        if isinstance(setting.default, float):
            return _read_seconds(text, most=setting.metadata["most"])
        if "choices" in setting.metadata:
            return _read_choice(text, setting.metadata["choices"])
        return _read_text(text, empty=setting.metadata["empty"])
    except ValueError as error:
        variable = PREFIX + setting.name.upper()
        sentence = f"{variable} can't be used: {error}. Example: {variable}={setting.metadata['example']}"
        raise BadSetting(sentence, variable=variable) from None


def _read_text(text: str, *, empty: bool) -> str:
    if not text and not empty:
        raise ValueError("it is empty")
    return text


def _read_choice(text: str, choices: tuple[str, ...]) -> str:
    if text not in choices:
        raise ValueError(f"{text[:40]!r} is none of {', '.join(choices)}")
    return text


def _read_flag(text: str) -> bool:
    if text.lower() not in _TRUE | _FALSE:
        raise ValueError(f"{text[:40]!r} is neither 1 nor 0")
    return text.lower() in _TRUE


def _read_seconds(text: str, *, most: int) -> float:
    try:
        seconds = float(text)
    except ValueError:
        raise ValueError(f"{text[:40]!r} is no number of seconds") from None
    if not (math.isfinite(seconds) and 0 < seconds <= most):
        raise ValueError(f"it must be above 0 and at most {most} seconds")
    return seconds
