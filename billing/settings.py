"""The only reader of the environment. Every setting has a sentence, a default, and an error that names the variable."""

import os
from collections.abc import Mapping
from pathlib import Path

from platformdirs import user_data_path
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from billing.errors import Misconfigured

PREFIX = "BILLING_"


class BadSetting(Misconfigured):
    """An environment variable has a value that can't be used. Facts: `variable`."""

    code = "bad_setting"


class Settings(BaseModel):
    """What an installation chooses through `BILLING_*` variables."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    database_url: str = Field(default="", description="Where the data is; default: a SQLite file in the user's data folder.")
    actor: str = Field(default="operator", min_length=1, description="The login of who acts, where a command has no --as.")
    plugins: str | None = Field(default=None, description="Load exactly these plugins (names, comma separated), for rescue and tests.")
    trace_hooks: bool = Field(default=False, description="Print each call of a plugin's hook, with its time, to stderr.")
    hook_budget_seconds: float = Field(default=2.0, gt=0, le=60, description="A hook that takes longer fails the payment.")
    lock_timeout_seconds: float = Field(default=5.0, gt=0, le=600, description="How long a unit waits for a row that another holds.")
    statement_timeout_seconds: float = Field(default=30.0, gt=0, le=86400, description="PostgreSQL ends a statement that runs longer.")
    idle_timeout_seconds: float = Field(default=15.0, gt=0, le=3600, description="PostgreSQL ends a unit that holds locks and does nothing.")


def read_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """Read the settings from the environment. Raises `BadSetting` naming the variable."""
    source = os.environ if environment is None else environment
    given = {name: source[variable] for name in Settings.model_fields if (variable := PREFIX + name.upper()) in source}
    try:
        settings = Settings(**given)  # type: ignore[arg-type]  # pydantic turns the texts into the types above
    except ValidationError as error:
        first = error.errors()[0]
        variable = PREFIX + str(first["loc"][0]).upper()
        raise BadSetting(f"{variable} can't be used: {first['msg']}. Example: {variable}={_example(str(first['loc'][0]))}", variable=variable) from None
    if settings.database_url:
        return settings
    return settings.model_copy(update={"database_url": f"sqlite:///{default_database_path()}"})


def default_database_path() -> Path:
    """Return the SQLite file that is used when no database is named; its folder is made on first use."""
    return user_data_path("clinic-billing", appauthor=False, ensure_exists=False) / "billing.sqlite3"


def _example(name: str) -> str:
    default = Settings.model_fields[name].default
    return str(default)
