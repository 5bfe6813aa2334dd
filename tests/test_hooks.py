"""A hook without a page, a right signature, a running example and somebody who uses it does not exist."""

import ast
import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from billing import hookspecs, registry
from billing.errors import Refused
from billing.model import Invoice
from billing.plugin import BilledItem, Declaration, Department, InvoiceFacts, hookimpl
from billing.registry import HOOKS
from billing.services.invoice_steps import cancel_invoice
from billing.testing.world import World

DOCS = Path(__file__).parents[1] / "docs"
PAGES = DOCS / "hooks"
SPECS: dict[str, Callable[..., Any]] = {name: getattr(hookspecs, name) for name in HOOKS}
PARTS = ["Phase", "When", "Gets", "Returns", "May veto", "On failure"]

every_hook = pytest.mark.parametrize("name", HOOKS)


def page(name: str) -> str:
    return (PAGES / f"{name}.md").read_text(encoding="utf-8")


def examples(name: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", page(name), re.DOTALL)


@every_hook
def test_hook_page_states_the_signature(name: str) -> None:
    title = f"# {name}({', '.join(inspect.signature(SPECS[name]).parameters)})\n"

    assert page(name).startswith(title)


@every_hook
def test_hook_page_says_all_that_an_author_asks(name: str) -> None:
    assert re.findall(r"^- \*\*(.+?):\*\* \S", page(name), re.MULTILINE) == PARTS


@every_hook
def test_hook_page_example_runs_and_asserts_what_the_hook_does(name: str) -> None:
    (example,) = examples(name)
    defined = [node for node in ast.walk(ast.parse(example)) if isinstance(node, ast.FunctionDef) and node.name == name]

    exec(compile(example, f"docs/hooks/{name}.md", "exec"), {"__name__": f"docs_hooks_{name}"})

    assert len(defined) == 1
    assert any(isinstance(node, ast.Assert) for node in ast.parse(example).body)


@every_hook
def test_hookspec_names_its_page_and_version(name: str) -> None:
    documented = inspect.getdoc(SPECS[name]) or ""

    assert re.search(rf"^Added in \d+\.\d+\. Example: docs/hooks/{name}\.md$", documented, re.MULTILINE)


def test_every_page_is_a_hook() -> None:
    assert {each.stem for each in PAGES.glob("*.md")} == set(HOOKS)


def test_table_of_hooks_is_in_story_order_with_the_phases_of_the_pages() -> None:
    rows = re.findall(r"^\| \[`(\w+)`\]\(hooks/(\w+)\.md\) \| (.+?) \|", (DOCS / "hooks.md").read_text(encoding="utf-8"), re.MULTILINE)
    phases = {name: found.group(1) for name in HOOKS if (found := re.search(r"^- \*\*Phase:\*\* (.+)$", page(name), re.MULTILINE))}

    assert [(name, link, phase) for name, link, phase in rows] == [(name, name, phases[name]) for name in HOOKS]


def test_every_hook_is_used_by_a_shipped_plugin_or_by_the_test_below() -> None:
    shipped = {hook for plugin in registry.load().plugins for hook in plugin.hooks}

    assert set(HOOKS) - shipped == {"before_invoice_cancelled"}


class Wardrobe:
    """A department that keeps what it was given: its invoices are not cancelled."""

    @hookimpl
    def declare(self) -> Declaration:
        return Declaration(departments=(Department("wardrobe", "Wardrobe"),))

    @hookimpl
    def before_invoice_cancelled(self, invoice: InvoiceFacts, items: tuple[BilledItem, ...]) -> None:
        raise Refused(f"{items[0].code} hangs in the wardrobe.", invoice=invoice.id)


@pytest.fixture
def wardrobe(database_url: str) -> Iterator[World]:
    world = World(database_url, plugins={"wardrobe": Wardrobe()})
    yield world
    world.dispose()


def test_invoice_is_not_cancelled_when_a_department_objects(wardrobe: World) -> None:
    wardrobe.service("COAT", department="wardrobe")
    made = wardrobe.invoice("COAT")
    before = wardrobe.dump()

    with pytest.raises(Refused, match="COAT hangs in the wardrobe") as caught:
        wardrobe.run(lambda tx: cancel_invoice(tx, invoice_id=made.id, reason="not wanted"))

    assert caught.value.facts == {"invoice": made.id, "plugin": "wardrobe"}
    assert wardrobe.dump() == before
    assert wardrobe.read(lambda tx: tx.session.scalars(select(Invoice.status)).one()) == "draft"
