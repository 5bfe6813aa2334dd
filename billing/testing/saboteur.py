"""A plugin with fault switches: its hooks behave, but for the one that is told to fail, at its first line, in the middle or at its last."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from billing import registry
from billing.plugin import Change, Declaration, Department, Price, Quote, QuotedLine, effect, hookimpl
from billing.registry import Registry
from billing.testing.shelf import Desk, Shelf

Place = Literal["first", "middle", "last"]

CHECKS = ("before_invoice_issued", "before_invoice_cancelled", "before_items_paid")
ACTS = ("quote_lines", "on_invoice_created", "on_invoice_changed", "on_invoice_issued", "on_invoice_cancelled", "on_items_paid")


class Saboteur:
    """The plugin. `fault` is called in `hook`; where it returns, the hook goes on."""

    def __init__(self, *, hook: str = "", fault: Callable[[], Any] | None = None, place: Place = "first") -> None:
        self.hook, self.fault, self.place = hook, fault, place

    @hookimpl
    def declare(self) -> Declaration:
        """Declare the department."""
        return Declaration(departments=(Department("sabotage", "Sabotage"),))

    @hookimpl
    def quote_lines(self, lines: tuple[QuotedLine, ...]) -> Iterator[Quote]:
        """Confirm the prices."""
        self._reach("quote_lines", "first")
        for line in lines:
            yield Price(line.position, line.unit_price_e4, "confirmed")
            self._reach("quote_lines", "middle")
        self._reach("quote_lines", "last")

    @hookimpl
    def before_invoice_issued(self, items: tuple[Any, ...]) -> None:
        """Have no objection."""
        self._reach("before_invoice_issued", "first")

    @hookimpl
    def before_invoice_cancelled(self, items: tuple[Any, ...]) -> None:
        """Have no objection."""
        self._reach("before_invoice_cancelled", "first")

    @hookimpl
    def before_items_paid(self, items: tuple[Any, ...]) -> None:
        """Have no objection."""
        self._reach("before_items_paid", "first")

    @hookimpl
    def on_invoice_created(self, items: tuple[Any, ...]) -> Iterator[Change]:
        """State an effect for each item."""
        return self._act("on_invoice_created", items)

    @hookimpl
    def on_invoice_changed(self, items: tuple[Any, ...]) -> Iterator[Change]:
        """State an effect for each item."""
        return self._act("on_invoice_changed", items)

    @hookimpl
    def on_invoice_issued(self, items: tuple[Any, ...]) -> Iterator[Change]:
        """State an effect for each item."""
        return self._act("on_invoice_issued", items)

    @hookimpl
    def on_invoice_cancelled(self, items: tuple[Any, ...]) -> Iterator[Change]:
        """State an effect for each item."""
        return self._act("on_invoice_cancelled", items)

    @hookimpl
    def on_items_paid(self, items: tuple[Any, ...]) -> Iterator[Change]:
        """State an effect for each item."""
        return self._act("on_items_paid", items)

    def _act(self, hook: str, items: tuple[Any, ...]) -> Iterator[Change]:
        self._reach(hook, "first")
        for item in items:
            yield effect(item, f"sabotage.{hook}", quantity_milli=item.quantity_milli)
            self._reach(hook, "middle")
        self._reach(hook, "last")

    def _reach(self, hook: str, place: Place) -> None:
        if self.fault is not None and (hook, place) == (self.hook, self.place):
            self.fault()


@dataclass(frozen=True, slots=True)
class WaitOnce:
    """A fault for processes: the first that meets it says so by a file, and waits for another file; all others pass."""

    folder: Path

    def __call__(self) -> None:
        """Wait, unless somebody has before."""
        try:
            (self.folder / "entered").touch(exist_ok=False)
        except FileExistsError:
            return
        await_file(self.folder / "released")


def await_file(path: Path, seconds: int = 60) -> None:
    """Wait for a file. Raises `TimeoutError`."""
    for _ in range(seconds * 100):
        if path.exists():
            return
        time.sleep(10 / 1000)
    raise TimeoutError(f"nobody made {path.name}")


def _with_saboteur(hook: str, fault: Callable[[], Any] | None, place: Place, options: dict[str, Any]) -> Registry:
    return registry.of_modules({"shelf": Shelf(), "desk": Desk(), "sabotage": Saboteur(hook=hook, fault=fault, place=place)}, **options)


def saboteurs(hook: str, fault: Callable[[], Any] | None, *, place: Place = "first", **options: Any) -> Callable[[], Registry]:
    """Return what makes the plugins of tests with a saboteur among them, for a crew or a world. `options` are those of the registry."""
    return partial(_with_saboteur, hook, fault, place, options)
