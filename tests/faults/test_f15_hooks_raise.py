"""F15: a hook raises, whatever and wherever. The act fails naming the plugin, and nothing of any department stays."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from billing.errors import PluginViolation, Refused
from billing.services import invoice_steps, invoices
from billing.testing.saboteur import ACTS, CHECKS, Place, Saboteur
from billing.testing.shelf import Desk, Shelf
from billing.testing.world import World, items_of

KINDS = [
    ValueError("x"),
    RuntimeError("x"),
    StopIteration("x"),
    MemoryError("x"),
    RecursionError("x"),
    OSError(28, "No space left on device"),
    KeyboardInterrupt("x"),
    SystemExit(0),
    GeneratorExit("x"),
    asyncio.CancelledError("x"),
    BaseException("x"),
]
LATER: tuple[Place, ...] = ("middle", "last")
POINTS: list[tuple[str, Place]] = [(hook, "first") for hook in (*CHECKS, *ACTS)] + [(hook, place) for hook in ACTS for place in LATER]


@pytest.fixture
def sabotaged(database_url: str) -> Iterator[tuple[World, Saboteur]]:
    saboteur = Saboteur()
    world = World(database_url, plugins={"shelf": Shelf(), "desk": Desk(), "sabotage": saboteur})
    world.lot(world.service("AMX", department="shelf"), "1000")
    world.service("VIS")
    world.service("SAB", department="sabotage")
    yield world, saboteur
    world.dispose()


def _act_of(hook: str, world: World) -> Callable[[], Any]:
    """Return an act in which all three departments are asked, and this hook too."""
    codes = ("AMX", "VIS", "SAB")
    if hook in {"quote_lines", "on_invoice_created"}:
        patient = world.patient()
        return lambda: world.invoice(*codes, patient_id=patient)
    invoice = world.invoice(*codes).id
    if hook == "on_invoice_changed":
        return lambda: world.run(lambda tx: invoices.edit_invoice(tx, invoice_id=invoice, items=items_of(["AMX:2", "SAB"])))
    if hook in {"before_invoice_cancelled", "on_invoice_cancelled"}:
        return lambda: world.run(lambda tx: invoice_steps.cancel_invoice(tx, invoice_id=invoice, reason="no"))
    return lambda: world.pay(invoice, "cash 30")  # issues it on the way


def _raising(error: BaseException) -> Callable[[], None]:
    def fault() -> None:
        raise error

    return fault


def test_act_fails_naming_the_plugin_whatever_a_hook_raises(
    sabotaged: tuple[World, Saboteur], told: Callable[..., None], books_are_well: Callable[[World], None]
) -> None:
    world, saboteur = sabotaged
    acts = {hook: _act_of(hook, world) for hook in (*CHECKS, *ACTS)}
    before = world.dump()

    for hook, place in POINTS:
        for error in KINDS:
            saboteur.hook, saboteur.place, saboteur.fault = hook, place, _raising(error)
            with pytest.raises(PluginViolation) as caught:
                acts[hook]()
            assert (caught.value.facts["plugin"], caught.value.facts["hook"]) == ("sabotage", hook), (place, error)

    assert world.dump() == before
    saboteur.fault = None
    for hook in ("on_invoice_created", "on_invoice_changed", "on_invoice_cancelled", "on_items_paid"):
        acts[hook]()
    books_are_well(world)
    told("F15", points=len(POINTS), failures=len(POINTS) * len(KINDS), stayed=0)


def test_refusal_of_a_hook_reaches_people_and_leaves_nothing(sabotaged: tuple[World, Saboteur]) -> None:
    world, saboteur = sabotaged
    acts = {hook: _act_of(hook, world) for hook in (*CHECKS, *ACTS)}
    before = world.dump()

    for hook, place in POINTS:
        saboteur.hook, saboteur.place, saboteur.fault = hook, place, _raising(Refused("The cupboard is locked."))
        with pytest.raises(Refused) as caught:
            acts[hook]()
        assert (caught.value.code, caught.value.facts["plugin"]) == ("refused", "sabotage"), (hook, place)

    assert world.dump() == before
