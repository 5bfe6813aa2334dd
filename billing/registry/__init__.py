"""The plugins: found by entry point one by one, checked, ordered, enabled per clinic, and called through one typed method per hook."""

from billing.registry.loading import load, of_modules
from billing.registry.plugins import HOOKS, Plugin
from billing.registry.registry import BadPluginSettings, Registry, UnknownPlugin, of

__all__ = ["HOOKS", "BadPluginSettings", "Plugin", "Registry", "UnknownPlugin", "load", "of", "of_modules"]
