"""What an installed plugin is, and the checks that it passes before anything of it is called. Knows no clinic."""

import difflib
import inspect
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from billing import hookspecs
from billing.changes.declare import BILLING_API, Declaration
from billing.errors import Misconfigured
from billing.model import Base
from billing.model.lint import schema_problems


@dataclass(frozen=True, slots=True)
class Plugin:
    """An installed plugin. With an `error` it is quarantined: nothing of it is called, its departments can't be billed or paid."""

    name: str
    distribution: str = ""
    version: str = ""
    module: Any = None
    declaration: Declaration = field(default_factory=Declaration)
    error: str | None = None
    tables: frozenset[Any] = field(init=False)
    """The plugin's own tables."""

    def __post_init__(self) -> None:
        """Note the tables: they are asked for in every action."""
        object.__setattr__(self, "tables", frozenset(table.__table__ for table in self.declaration.tables))

    @property
    def hooks(self) -> tuple[str, ...]:
        """The hooks that the plugin implements, in story order."""
        return tuple(name for name in HOOKS if _implements(self.module, name))


HOOKS: tuple[str, ...] = tuple(name for name, each in vars(hookspecs).items() if hasattr(each, "billing_spec"))
"""All hooks, in story order."""


def _implements(module: Any, name: str) -> bool:
    return module is not None and hasattr(getattr(module, name, None), "billing_impl")


def check_module(plugin: Plugin) -> None:
    """Raise `Misconfigured` for a hook that does not exist, a wrapper or a coroutine."""
    for name in dir(plugin.module):
        options = getattr(getattr(plugin.module, name, None), "billing_impl", None)
        if not isinstance(options, dict):
            continue
        if name not in HOOKS:
            near = difflib.get_close_matches(name, HOOKS, n=1)
            raise Misconfigured(f"there is no hook {name}" + (f"; did you mean {near[0]}?" if near else ""))
        if options.get("wrapper") or options.get("hookwrapper"):
            raise Misconfigured(f"{name} is a wrapper: it could swallow another plugin's failure, so none is allowed")
        function = getattr(plugin.module, name)
        if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
            raise Misconfigured(f"{name} is a coroutine: hooks are ordinary functions")


def check_declaration(name: str, declared: Sequence[Any]) -> Declaration:
    """Return what a plugin declared. Raises `Misconfigured` for another contract version, or tables and needs that are not its own."""
    if len(declared) != 1 or not isinstance(declared[0], Declaration):
        raise Misconfigured("declare() must return one Declaration")
    declaration: Declaration = declared[0]
    if declaration.billing_api != BILLING_API:
        raise Misconfigured(f"it was made for version {declaration.billing_api} of the plugin contract, this is version {BILLING_API}")
    for table in declaration.tables:
        if not table.__tablename__.startswith(f"{name}_"):
            raise Misconfigured(f"its table {table.__tablename__} must be named {name}_...")
    own = {table.__table__ for table in declaration.tables}
    if problems := schema_problems(own):
        raise Misconfigured(problems[0])
    undeclared = [each.name for each in Base.metadata.tables.values() if each.name.startswith(f"{name}_") and each not in own]
    for need in declaration.needs:
        foreign = [each.name for each in need.tables - own]
        if foreign:
            raise Misconfigured(f"a need of it reads {', '.join(sorted(foreign))}, which is not its own")
    if wallets := [each.code for each in declaration.methods if each.moves_wallet or each.code == "wallet"]:
        raise Misconfigured(f"its method {wallets[0]} would move wallets, which are the core's")
    if undeclared:
        raise Misconfigured(f"its table {undeclared[0]} is not declared")
    return declaration


def check_departments(plugins: Sequence[Plugin]) -> list[Plugin]:
    """Quarantine a plugin that provides a department which another one provides already."""
    taken: dict[str, str] = {}
    checked = []
    for plugin in plugins:
        twice = [each.code for each in plugin.declaration.departments if each.code in taken] if plugin.error is None else []
        if twice:
            checked.append(replace(plugin, error=f"its department {twice[0]} is provided by the plugin {taken[twice[0]]} already"))
            continue
        taken.update({each.code: plugin.name for each in plugin.declaration.departments} if plugin.error is None else {})
        checked.append(plugin)
    return checked


def in_order(plugins: Sequence[Plugin]) -> list[Plugin]:
    """Order plugins by what they require, then by name; one whose requirement is missing, broken or circular is quarantined."""
    waiting = sorted(plugins, key=lambda plugin: plugin.name)
    placed: dict[str, Plugin] = {}
    while ready := [p for p in waiting if p.error is not None or all(name in placed for name in p.declaration.requires)]:
        plugin = ready[0]
        waiting.remove(plugin)
        broken = [name for name in plugin.declaration.requires if plugin.error is None and placed[name].error is not None]
        placed[plugin.name] = replace(plugin, error=f"it requires {broken[0]}, which is quarantined") if broken else plugin
    for plugin in waiting:
        missing = ", ".join(name for name in plugin.declaration.requires if name not in placed)
        placed[plugin.name] = replace(plugin, error=f"it requires {missing}, which is not installed or requires it in turn")
    return list(placed.values())
