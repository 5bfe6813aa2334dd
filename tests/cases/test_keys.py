"""Idempotency keys: one request under one key of one person; and a key whose act failed is free again."""

import os
import subprocess
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from billing.errors import BillingError
from billing.model import new_id
from billing.services.invoices import create_invoice
from billing.services.quotation import NewItem

if TYPE_CHECKING:
    from tests.cases.conftest import CaseWorld


@pytest.mark.case("P52")
def test_key_with_another_request_is_refused(world: "CaseWorld", asked: Callable[..., Any]) -> None:
    """fossasia/eventyay#602: the same key was accepted for another method and body."""
    bill, other = world.n1(), world.n1()
    patient = world.patient()
    first = world.pay(bill.id, "card 154", actor="c1", key="k")
    before = world.dump()

    codes = {
        "another amount": world.refused(lambda: world.pay(bill.id, "card 153", actor="c1", key="k")),
        "another method": world.refused(lambda: world.pay(bill.id, "transfer 154", actor="c1", key="k")),
        "another scope": world.refused(lambda: world.pay(bill.id, "card 154", scope="pharmacy", actor="c1", key="k")),
        "another invoice": world.refused(lambda: world.pay(other.id, "card 154", actor="c1", key="k")),
        "no such invoice": world.refused(lambda: world.pay(new_id(), "card 154", actor="c1", key="k")),
        "another series": world.refused(lambda: world.pay(bill.id, "card 154", actor="c1", key="k", series="other")),
        "on the line": asked("pay", other.number, "--card", "154", "--key", "k", "--as", "c1"),
    }
    world.choose(cashier_creates_invoices=True)
    codes["another act"] = world.refused(
        lambda: world.run(lambda tx: create_invoice(tx, patient_id=patient, items=[NewItem("VISIT")], key="k"), actor="c1")
    )

    assert set(codes.values()) == {"key_reused"}, codes
    after = world.dump()
    assert {name for name in after if after[name] != before[name]} == {"audit_entry", "audit_head", "clinic"}, "the policy, and no more"
    assert world.pay(bill.id, "card 154", actor="c1", key="k").receipt_number == first.receipt_number


@pytest.mark.case("P52")
def test_answer_under_a_key_is_not_shown_to_another_person_or_clinic(world: "CaseWorld") -> None:
    """fossasia/eventyay#602: a key belongs to the person who uses it, in the clinic."""
    bill, norths = world.n1(), world.n1()
    first = world.pay(bill.id, "card 154", actor="c1", key="k")

    again = world.refused(lambda: world.pay(bill.id, "card 154", actor="c2", key="k"))
    elsewhere = world.refused(lambda: world.pay(bill.id, "card 154", clinic="south", actor="sc1", key="k"))
    own = world.pay(norths.id, "card 154", actor="c2", key="k")
    souths = world.pay(world.n1(clinic="south").id, "card 154", clinic="south", actor="sc1", key="k")

    assert (again, elsewhere) == ("already_paid", "unknown_invoice")
    assert len({first.id, own.id, souths.id}) == 3
    assert not (own.replayed)
    assert not (souths.replayed)


KILLED = """
import os, sys
from billing.interfaces.cli.frame import Frame
from billing.registry.registry import Registry

def die(*_):
    os._exit(9)

Registry.on_items_paid = die
Frame().main(sys.argv[1:])
"""
"""Pays in a process that ends while the departments are asked: the key is claimed by then."""


@pytest.mark.case("P53")
def test_key_whose_act_failed_is_free_again(world: "CaseWorld", billing: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """useautumn/autumn#1851: keys stayed taken after errors."""
    bill = world.n1()

    def break_down(*_: Any) -> Any:
        raise BillingError("a fault of the server")

    refused = world.refused(lambda: world.pay(bill.id, "card 1", actor="c1", key="k"))  # by a check
    with monkeypatch.context() as patch:
        patch.setattr("billing.registry.registry.Registry.before_items_paid", break_down)  # by a fault
        broken = world.refused(lambda: world.pay(bill.id, "card 154", actor="c1", key="k"))
    line = ["pay", str(bill.number), "--card", "154", "--key", "k", "--as", "c1"]
    killed = subprocess.run([sys.executable, "-c", KILLED, *line], check=False, env=dict(os.environ), capture_output=True)  # by a crash

    taken = world.pay(bill.id, "card 154", actor="c1", key="k")
    replayed = world.pay(bill.id, "card 154", actor="c1", key="k")

    assert (refused, broken, killed.returncode) == ("underpaid", "billing_error", 9)
    assert (taken.replayed, replayed.replayed) == (False, True)
    assert taken.receipt_number.endswith("-00001")
    assert len(world.seen(bill.id).payments) == 1
