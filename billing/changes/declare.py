"""What a plugin says about itself, once, when it is loaded."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel
from sqlalchemy import Select

from billing.changes.needs import Need
from billing.rules.roles import Permission
from billing.rules.tenders import Method

BILLING_API = "1"
"""The version of the plugin contract. A plugin that names another one is quarantined."""


class PluginModel(BaseModel):
    """The base of a plugin's settings and of what a cashier gives to it: closed, so that a misspelt name is refused."""

    model_config = {"extra": "forbid", "frozen": True}


@dataclass(frozen=True, slots=True)
class Department:
    """A department that the plugin provides. With `effects`, every item paid must leave an effect."""

    code: str
    name: str
    effects: bool = True


@dataclass(frozen=True, slots=True)
class Invariant:
    """What must always hold: a select over the plugin's tables that returns the rows which break it, and a sentence that explains it.

    The select binds the clinic by itself; it may use `today`.
    """

    name: str
    sentence: str
    violations: Select[*tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Declaration:
    """A plugin's declaration. `migrations` is the package that holds its Alembic versions; `requires` names plugins that act before it."""

    departments: tuple[Department, ...] = ()
    tables: tuple[type[Any], ...] = ()
    migrations: str | None = None
    needs: tuple[Need, ...] = ()
    settings: type[PluginModel] | None = None
    given: type[PluginModel] | None = None
    methods: tuple[Method, ...] = ()
    permissions: tuple[Permission, ...] = ()
    grants: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    record_kinds: tuple[str, ...] = ()
    invariants: tuple[Invariant, ...] = ()
    requires: tuple[str, ...] = ()
    billing_api: str = BILLING_API
