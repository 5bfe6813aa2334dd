"""The plugins of one installation: which act for a clinic, in which order, and one typed method per hook. Knows no database.

A broken plugin is quarantined and named; the rest works.
"""

import sys
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from itertools import islice
from typing import Any

import pluggy
from pydantic import ValidationError

from billing import hookspecs
from billing.changes.declare import PluginModel
from billing.changes.kernel import violation
from billing.changes.kinds import Change
from billing.changes.needs import Known, Need
from billing.errors import Invalid, Misconfigured, Refused
from billing.facts import (
    BilledItem,
    Claim,
    ImportedItem,
    ImportFacts,
    InvoiceFacts,
    PaymentFacts,
    Quote,
    QuotedLine,
    QuotingClinic,
    Record,
    Records,
    RefundedItem,
    RefundFacts,
)
from billing.failpoints import failpoint
from billing.registry.alarm import alarm
from billing.registry.plugins import HOOKS, Plugin, check_declaration, check_departments, check_module, in_order
from billing.rules.roles import ROLES, permissions_of
from billing.rules.tenders import CORE_METHODS, Method
from billing.transaction import ClinicFacts, Transaction

MOST_CHANGES = 100_000
"""A hook that yields more than this has lost its way."""


class UnknownPlugin(Invalid):
    """No plugin of that name is installed. Facts: `plugin`."""

    code = "unknown_plugin"


class BadPluginSettings(Misconfigured):
    """A plugin's settings in a clinic, or what was given to it, don't fit its model. Facts: `plugin`."""

    code = "bad_plugin_settings"


class Registry:
    """The plugins of one installation."""

    def __init__(
        self, plugins: Iterable[Plugin], *, budget_seconds: float = 2.0, alarm_seconds: float | None = None, trace: bool = False
    ) -> None:
        self._budget = budget_seconds
        self._alarm = alarm_seconds
        self._trace = trace
        self._manager = pluggy.PluginManager("billing")
        self._manager.add_hookspecs(hookspecs)
        checked = check_departments(in_order([self._register(plugin) for plugin in plugins]))
        self.plugins: tuple[Plugin, ...] = tuple(checked)
        self._by_name = {plugin.name: plugin for plugin in self.plugins}
        self._by_department = {each.code: plugin for plugin in self.healthy for each in plugin.declaration.departments}
        self._needs: dict[tuple[str, str], tuple[Need, ...]] = {}
        for plugin in self.plugins:
            for need in plugin.declaration.needs:
                place = plugin.name, need.of
                self._needs[place] = (*self._needs.get(place, ()), need)
        self._settings: dict[str, tuple[ClinicFacts, PluginModel | None]] = {}
        """Settings as read the last time, with the facts that they were read from: units of one clinic share those."""
        self._calls = {(impl.plugin_name, hook): impl for hook in HOOKS for impl in getattr(self._manager.hook, hook).get_hookimpls()}

    @property
    def healthy(self) -> tuple[Plugin, ...]:
        """The plugins that can be used, in the order in which they act."""
        return tuple(plugin for plugin in self.plugins if plugin.error is None)

    def plugin(self, name: str) -> Plugin:
        """Return the plugin of this name. Raises `UnknownPlugin`."""
        if name not in self._by_name:
            raise UnknownPlugin(
                f"No plugin {name!r} is installed: `billing plugins` lists {', '.join(self._by_name) or 'none'}.", plugin=name
            )
        return self._by_name[name]

    def enabled(self, clinic: ClinicFacts) -> tuple[Plugin, ...]:
        """Return the plugins that act for this clinic, in order."""
        return tuple(plugin for plugin in self.healthy if plugin.name in clinic.settings)

    def of_department(self, clinic: ClinicFacts, code: str) -> Plugin | None:
        """Return the plugin that provides a department to the clinic, or None where it is missing, quarantined or disabled."""
        plugin = self._by_department.get(code)
        return plugin if plugin is not None and plugin.name in clinic.settings else None

    def settings(self, plugin: Plugin, clinic: ClinicFacts) -> PluginModel | None:
        """Return the plugin's settings for the clinic, as its model. Raises `BadPluginSettings`."""
        kept = self._settings.get(plugin.name)
        if kept is not None and kept[0] is clinic:
            return kept[1]
        model = self.check_settings(plugin, clinic.settings.get(plugin.name, {}))
        self._settings[plugin.name] = clinic, model
        return model

    def check_settings(self, plugin: Plugin, values: Mapping[str, Any]) -> PluginModel | None:
        """Return values as the plugin's settings model. Raises `BadPluginSettings` naming the field."""
        if plugin.declaration.settings is None:
            if values:
                raise BadPluginSettings(f"The plugin {plugin.name} has no settings.", plugin=plugin.name)
            return None
        return _parse(plugin, plugin.declaration.settings, values)

    def given(self, plugin: Plugin, given: Mapping[str, Mapping[str, Any]]) -> PluginModel | None:
        """Return what a cashier gave to the plugin, as its model. Raises `BadPluginSettings` naming the field."""
        if plugin.name not in given:
            return None
        if plugin.declaration.given is None:
            raise BadPluginSettings(f"The plugin {plugin.name} takes nothing from the cashier.", plugin=plugin.name)
        return _parse(plugin, plugin.declaration.given, given[plugin.name])

    def methods(self, clinic: ClinicFacts) -> dict[str, Method]:
        """Return the payment methods of the clinic by code: the core's and its plugins', with a reference where its policy asks for one."""
        found = {**CORE_METHODS, **{method.code: method for plugin in self.enabled(clinic) for method in plugin.declaration.methods}}
        for code in clinic.policy.get("reference_for", ()):
            if code in found:
                found[code] = replace(found[code], needs_reference=True)
        return found

    def permissions_of(self, role: str, policy: Mapping[str, Any], plugins: Collection[str]) -> frozenset[str]:
        """Return what a role may do in a clinic with this policy and these enabled plugins."""
        grants: dict[str, set[str]] = {"operator": set()}
        for plugin in self.healthy:
            grants["operator"].update(each.name for each in plugin.declaration.permissions)
            for granted, names in plugin.declaration.grants.items() if plugin.name in plugins else ():
                grants.setdefault(granted, set()).update(names)
        if role not in ROLES and role not in grants:
            return frozenset()  # a role of a plugin that is not at work here may do nothing until it is
        return permissions_of(role, policy_flags=[name for name, on in policy.items() if on is True], plugin_grants=grants)

    def needs(self, plugin: Plugin, of: str) -> tuple[Need, ...]:
        """Return the plugin's needs of one source."""
        return self._needs.get((plugin.name, of), ())

    def listens(self, plugin: Plugin, hook: str) -> bool:
        """Say whether the plugin implements the hook."""
        return (plugin.name, hook) in self._calls

    # --- one typed caller per hook; all of a plugin's changes are drawn here, inside its time budget ---------------------------------

    def register_commands(self, plugin: Plugin, cli: Any) -> None:
        """Let the plugin add its commands."""
        self._call(plugin, "register_commands", {"cli": cli})

    def quote_lines(self, plugin: Plugin, clinic: QuotingClinic, lines: tuple[QuotedLine, ...], known: Known) -> tuple[Quote, ...]:
        """Ask for prices, allowances and charges of the plugin's lines."""
        return self._drawn(plugin, "quote_lines", {"clinic": clinic, "lines": lines, "known": known})

    def check_invoice(self, plugin: Plugin, hook: str, invoice: InvoiceFacts, items: tuple[BilledItem, ...], known: Known) -> None:
        """Ask `before_invoice_issued` or `before_invoice_cancelled` for a veto."""
        self._call(plugin, hook, {"invoice": invoice, "items": items, "known": known})

    def act_on_invoice(
        self, plugin: Plugin, hook: str, invoice: InvoiceFacts, items: tuple[BilledItem, ...], known: Known
    ) -> tuple[Change, ...]:
        """Ask one of the hooks `on_invoice_...` for changes."""
        return self._drawn(plugin, hook, {"invoice": invoice, "items": items, "known": known})

    def before_items_paid(self, plugin: Plugin, payment: PaymentFacts, items: tuple[BilledItem, ...], known: Known) -> None:
        """Ask for a veto of a payment."""
        self._call(plugin, "before_items_paid", {"payment": payment, "items": items, "known": known})

    def on_items_paid(self, plugin: Plugin, payment: PaymentFacts, items: tuple[BilledItem, ...], known: Known) -> tuple[Change, ...]:
        """Ask for the changes of a payment."""
        return self._drawn(plugin, "on_items_paid", {"payment": payment, "items": items, "known": known})

    def before_items_refunded(self, plugin: Plugin, refund: RefundFacts, items: tuple[RefundedItem, ...], known: Known) -> None:
        """Ask for a veto of a refund."""
        self._call(plugin, "before_items_refunded", {"refund": refund, "items": items, "known": known})

    def on_items_refunded(self, plugin: Plugin, refund: RefundFacts, items: tuple[RefundedItem, ...], known: Known) -> tuple[Change, ...]:
        """Ask for the changes of a refund."""
        return self._drawn(plugin, "on_items_refunded", {"refund": refund, "items": items, "known": known})

    def import_records(self, plugin: Plugin, records: Records) -> tuple[Claim, ...]:
        """Ask which records of a visit are the plugin's."""
        return self._drawn(plugin, "import_records", {"records": records})

    def on_records_imported(
        self, plugin: Plugin, imported: ImportFacts, items: tuple[ImportedItem, ...], known: Known
    ) -> tuple[Change, ...]:
        """Ask for what must stand before imported items are billed."""
        return self._drawn(plugin, "on_records_imported", {"imported": imported, "items": items, "known": known})

    def demo_records(self, plugin: Plugin, clinic: QuotingClinic) -> tuple[Record, ...]:
        """Ask for records of the demonstration."""
        return self._drawn(plugin, "demo_records", {"clinic": clinic})

    def _drawn(self, plugin: Plugin, hook: str, arguments: Mapping[str, Any]) -> tuple[Any, ...]:
        return self._call(plugin, hook, arguments, draw=True) or ()

    def _call(self, plugin: Plugin, hook: str, arguments: Mapping[str, Any], *, draw: bool = False) -> Any:
        implementation = self._calls.get((plugin.name, hook))
        if implementation is None:
            return None
        items = [item.id for item in arguments.get("items", ()) if not isinstance(item, ImportedItem)]
        failpoint("hook.before", plugin.name, hook)
        started = time.perf_counter()
        try:
            with nullcontext() if self._alarm is None else alarm(self._alarm):
                answer = implementation.function(*[arguments[name] for name in implementation.argnames])
                if draw and answer is not None:
                    answer = tuple(islice(answer, MOST_CHANGES + 1))
        except (Refused, Invalid) as error:
            error.facts.setdefault("plugin", plugin.name)
            raise
        except BaseException as error:  # a plugin may raise anything, SystemExit too: the payment fails, the till goes on
            raise violation(plugin.name, hook, f"it raised {type(error).__name__}: {error}", items=items) from error
        spent = time.perf_counter() - started
        if self._trace:
            sys.stderr.write(f"hook {plugin.name}.{hook}: {len(items)} items, {spent * 1000:.2f} ms\n")
        if spent > self._budget:
            raise violation(plugin.name, hook, f"it returned after {spent:.1f} s; the budget is {self._budget:.1f} s", items=items)
        if draw and answer is not None and len(answer) > MOST_CHANGES:
            raise violation(plugin.name, hook, f"it returned more than {MOST_CHANGES} values", items=items)
        failpoint("hook.after", plugin.name, hook)
        return answer

    def _register(self, plugin: Plugin) -> Plugin:
        if plugin.error is not None:
            return plugin
        try:
            check_module(plugin)
            self._manager.register(plugin.module, plugin.name)
            declared = self._manager.subset_hook_caller("declare", [p for p in self._manager.get_plugins() if p is not plugin.module])()
            return replace(plugin, declaration=check_declaration(plugin.name, declared))
        except BaseException as error:  # whatever it is, the other plugins go on
            if isinstance(error, KeyboardInterrupt):
                raise
            if self._manager.has_plugin(plugin.name):
                self._manager.unregister(name=plugin.name)
            return replace(plugin, error=f"{type(error).__name__}: {error}")


def of(tx: Transaction) -> Registry:
    """Return the registry that a unit works with."""
    assert isinstance(tx.plugins, Registry), "the boundary was made without plugins"
    return tx.plugins


def _parse(plugin: Plugin, model: Callable[..., PluginModel], values: Mapping[str, Any]) -> PluginModel:
    try:
        return model(**values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "value"
        raise BadPluginSettings(f"{plugin.name}: {where}: {first['msg']}.", plugin=plugin.name) from None
