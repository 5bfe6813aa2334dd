"""The needs and changes of refunds and imports, through the kernel, on real databases."""

from typing import Any

import pytest
from billing_laboratory import catalogue, hooks, services
from sqlalchemy import select

from billing import registry
from billing.model import Effect, canonical_json
from billing.plugin import (
    BilledItem,
    ImportedItem,
    ImportFacts,
    InvoiceMade,
    Known,
    NewItem,
    PatientFacts,
    Record,
    Records,
    RefundedItem,
    RefundFacts,
    StoredEffect,
    Transaction,
    create_invoice,
    find_service,
)
from billing.services.acting import Part, ask, known_of, need_calls, write_plan

NOBODY = dict.fromkeys(("item_id", "service_id", "provider_id", "patient_id", "sex", "birth_date", "species"))
PATIENT = PatientFacts(id="p", client_id="c", kind="person", sex="female")


def find(tx: Transaction, of: str, rows: list[dict[str, Any]]) -> Known:
    """Return what the laboratory's needs of a source find."""
    plugin = registry.of(tx).plugin("laboratory")
    whole = [{**NOBODY, "department": "laboratory", "quantity_milli": 1000, **row} for row in rows]
    calls = need_calls(tx, [plugin], of, rows=canonical_json(whole))
    return known_of(plugin, calls, tx.trip(*(call for _, call in calls)))


def carry_out(tx: Transaction, hook: str, items: tuple[Any, ...], known: Known, changes: Any) -> None:
    part = Part(registry.of(tx).plugin("laboratory"), items, known)
    write_plan(tx, ask([part], hook, lambda _: tuple(changes)), action=hook, action_id=tx.actor.id)


# --- refunds ------------------------------------------------------------------------------------------------------------------------


def refund(lab: Any, invoice: InvoiceMade) -> None:
    """Give back every item of an invoice: the needs over its stored effects, the checks, the changes."""

    def unit(tx: Transaction) -> None:
        stored = tx.session.scalars(select(Effect).where(Effect.item_id.in_(invoice.item_ids)).order_by(Effect.id)).all()
        rows = [{"item_id": each.item_id, "kind": each.kind, "row_id": each.row_key} for each in stored]
        # Another department's effect may name no row at all.
        known = find(tx, "refunding", [*rows, {"item_id": invoice.item_ids[0], "department": "desk", "kind": "desk.done", "row_id": ""}])
        items = tuple(
            RefundedItem(
                BilledItem(key, 1, "laboratory", "K", "Potassium", 1000, 0, 0, 0, 0),
                1000,
                tuple(StoredEffect(each.kind, each.row_key, each.quantity_milli) for each in stored if each.item_id == key),
            )
            for key in invoice.item_ids
        )
        facts = RefundFacts("r", invoice.id, "p", PATIENT, tx.clinic.currency, "wrong", tx.business_date, tx.at, tx.actor.id)
        hooks.before_items_refunded(facts, items, known)
        carry_out(tx, "on_items_refunded", items, known, hooks.on_items_refunded(facts, items, known))

    lab.run(unit)


def paid(lab: Any, *codes: str) -> InvoiceMade:
    made: InvoiceMade = lab.issue(*codes)
    lab.run(lab.paying(made))
    return made


def test_refunding_cancels_orders_and_their_results(lab: Any) -> None:
    kept, refunded = paid(lab, "K"), paid(lab, "ELEC", "COV")

    refund(lab, refunded)

    assert [each.status for each in lab.orders(refunded)] == ["cancelled", "cancelled"]
    assert {row.status for each in lab.orders(refunded) for row in lab.results(each.id)} == {"cancelled"}
    assert [each.status for each in lab.orders(kept)] == ["ordered"]
    assert lab.waiting() == [("K", 1, 0)]
    assert lab.broken() == set()


def test_an_order_that_was_begun_with_is_not_refunded_nor_is_anything_with_it(lab: Any) -> None:
    invoice = paid(lab, "ELEC", "K")
    lab.collect(lab.orders(invoice)[1].id)

    with pytest.raises(hooks.OrderStarted, match="collected"):
        refund(lab, invoice)

    assert [each.status for each in lab.orders(invoice)] == ["ordered", "collected"]


def test_nothing_is_entered_into_a_cancelled_order(lab: Any) -> None:
    invoice = paid(lab, "K")
    refund(lab, invoice)

    with pytest.raises(services.OrderState, match="cancelled"):
        lab.collect(lab.orders(invoice)[0].id)
    with pytest.raises(services.OrderState, match="cancelled"):
        lab.enter(lab.orders(invoice)[0].id, "2823-3", "4.2")


# --- imports ------------------------------------------------------------------------------------------------------------------------

SODIUM = {"CODE": "2951-2", "DESCRIPTION": "Sodium", "VALUE": "139.0", "UNITS": "mmol/L", "TYPE": "numeric"}
GLUCOSE = {"CODE": "2345-7", "DESCRIPTION": "Glucose", "VALUE": "64.3", "UNITS": "mg/dL", "TYPE": "numeric", "LOW": "70", "HIGH": "99"}


def bring(lab: Any, *rows: dict[str, str]) -> InvoiceMade:
    """Bring the observations of a visit: claims, services, what must stand, the invoice, the payment."""
    checker = lab.read(lambda tx: tx.actor.id, actor="bert")
    listed = {f"LAB-{row['CODE']}" for row in rows} - {row.service for row in lab.read(catalogue.list_tests)}
    for code in sorted(listed):
        lab.service(code, department="laboratory", price="0.00")
    patient_id = lab.person()

    def unit(tx: Transaction) -> InvoiceMade:
        seen = tuple(Record("observation", row, tx.at) for row in rows)
        claims = list(hooks.import_records(Records("v", tx.at, tx.clinic.currency, seen, entered_by=tx.actor.id, verified_by=checker)))
        services = {each.code: find_service(tx, each.code).id for each in claims}
        items = tuple(ImportedItem(services[each.code], each.department, each.code, each.description, 1000, each.given) for each in claims)
        known = find(tx, "importing", [{"service_id": each.service_id} for each in items])
        facts = ImportFacts("v", tx.business_date, tx.at, tx.actor.id)
        carry_out(tx, "on_records_imported", items, known, hooks.on_records_imported(facts, items, known))
        return create_invoice(tx, patient_id=patient_id, items=[NewItem(each.code, given=each.given) for each in items])

    invoice: InvoiceMade = lab.run(unit)
    lab.run(lab.paying(invoice))
    return invoice


def test_imported_observations_become_verified_results_of_new_tests(lab: Any) -> None:
    invoice = bring(lab, GLUCOSE, {**GLUCOSE, "VALUE": "101.0"}, GLUCOSE)

    orders = lab.orders(invoice)
    assert [each.status for each in orders] == ["final"] * 3
    assert [[(row.value, row.flag, row.range_text) for row in lab.results(each.id)] for each in orders] == [
        [("64.3", "L", "70 - 99")],
        [("101.0", "H", "70 - 99")],
        [("64.3", "L", "70 - 99")],
    ]
    assert len([row for row in lab.read(catalogue.list_tests) if row.service == "LAB-2345-7"]) == 1
    assert lab.waiting() == []
    assert lab.broken() == set()


def test_the_next_visit_finds_the_test_standing(lab: Any) -> None:
    bring(lab, GLUCOSE)
    before = (lab.read(catalogue.list_tests), lab.read(catalogue.list_ranges))

    bring(lab, GLUCOSE)

    assert (lab.read(catalogue.list_tests), lab.read(catalogue.list_ranges)) == before


def test_an_import_uses_the_analytes_that_the_laboratory_has(lab: Any) -> None:
    before = lab.read(catalogue.list_analytes)

    bring(lab, {**SODIUM, "DESCRIPTION": "Sodium [Moles/volume] in Serum or Plasma"})

    assert lab.read(catalogue.list_analytes) == before
    assert {row.service: row.analytes for row in lab.read(catalogue.list_tests)}["LAB-2951-2"] == ("2951-2",)


def test_an_observation_without_a_value_waits_on_the_worklist(lab: Any) -> None:
    bring(lab, {**GLUCOSE, "VALUE": ""})

    assert lab.waiting() == [("LAB-2345-7", 1, 0)]
