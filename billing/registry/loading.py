"""Finds plugins by entry point, one by one, so that a broken one stops no other."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import metadata
from typing import Any

from billing.registry.plugins import Plugin
from billing.registry.registry import Registry, UnknownPlugin

GROUP = "billing.plugins"
"""The entry-point group; the key is the plugin's name, the value its module of hooks."""


def load(*, only: Sequence[str] | None = None, **options: Any) -> Registry:
    """Find the installed plugins and return their registry; with `only`, exactly these. `options` are those of `Registry`.

    Raises `UnknownPlugin` for one that is not installed.
    """
    found = {point.name: point for point in metadata.entry_points(group=GROUP)}
    names = sorted(found) if only is None else list(dict.fromkeys(only))
    for name in names:
        if name not in found:
            raise UnknownPlugin(
                f"No plugin {name!r} is installed: `pip install` brings one; found: {', '.join(sorted(found)) or 'none'}.", plugin=name
            )
    return Registry([_load_one(found[name]) for name in names], **options)


def of_modules(modules: Mapping[str, Any], **options: Any) -> Registry:
    """Return a registry of these modules or objects by plugin name: for tests and programs that bring their plugins along."""
    return Registry([Plugin(name=name, module=module, version="0") for name, module in modules.items()], **options)


def _load_one(point: metadata.EntryPoint) -> Plugin:
    distribution = point.dist
    plugin = Plugin(
        name=point.name,
        distribution=distribution.name if distribution else "",
        version=distribution.version if distribution else "",
    )
    try:
        return replace(plugin, module=point.load())
    except BaseException as error:  # a module may raise anything while it is imported
        if isinstance(error, KeyboardInterrupt):
            raise
        return replace(plugin, error=f"{type(error).__name__}: {error}")
