"""Payers: a bill's two parts sum to it; the client pays the own part at the till, the payer by transfer; what is rejected is the client's again."""

from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest
from sqlalchemy import func, select

from billing.model import Claim, JournalLine, Patient
from billing.rules.coverage import BadCover
from billing.rules.statuses import InvoiceAlreadyPaid
from billing.services import claims, covering, doctor, invoice_steps, invoices, payers, reading, reversals
from billing.services.booking import ClaimPaid
from billing.services.claims import ClaimClosed, ClaimOverpaid, UnknownClaim
from billing.services.covering import CannotCover, Cover
from billing.services.invoices import InvoiceCovered
from billing.services.payers import BadCoverage, NotCovered, PayerTaken, UnknownCoverage, UnknownPayer
from billing.services.reversals import Returned
from billing.testing.world import World


@pytest.fixture
def clinic(database_url: str) -> Iterator[World]:
    world = World(database_url)
    world.service("VIS", price="100.00")
    world.service("LAB", price="50.00", tax="S 1900")
    world.run(lambda tx: payers.add_payer(tx, code="AXA", name="Axa Health"))
    yield world
    assert broken(world) == []
    world.dispose()


def broken(world: World) -> list[Any]:
    return [(check.name, check.violations, check.error) for check in world.read(doctor.examine).broken]


def balance(world: World, account: str) -> int:
    return int(
        world.read(lambda tx: tx.session.scalar(select(func.sum(JournalLine.amount_minor)).where(JournalLine.account == account))) or 0
    )


def cover(world: World, invoice: str, **how: Any) -> covering.Covered:
    return world.run(lambda tx: covering.cover_invoice(tx, invoice_id=invoice, cover=Cover(**how) if how else None))


def covered(world: World, amount_minor: int = 12_000) -> str:
    """Return an invoice of 159.50 of which AXA answers for 120.00."""
    invoice = world.invoice("VIS", "LAB").id
    cover(world, invoice, payer="AXA", amount_minor=amount_minor)
    return invoice


def claim_of(world: World, invoice: str) -> Claim:
    return world.read(lambda tx: tx.session.scalars(select(Claim).where(Claim.invoice_id == invoice)).one())


def coverage(world: World, patient: str, **terms: Any) -> str:
    client = world.read(lambda tx: tx.session.scalars(select(Patient.client_id).where(Patient.id == patient)).one())
    asked = {"percent_bp": 8_000, "client_id": client, **terms}
    return world.run(lambda tx: payers.add_coverage(tx, payer="AXA", **asked)).id


def test_client_pays_the_own_part_and_departments_are_settled_whole(clinic: World) -> None:
    invoice = covered(clinic)

    taken = clinic.pay(invoice, "cash 39.50")

    assert (taken.status, taken.due_minor, taken.amount_due_minor, len(taken.items)) == ("paid", 3_950, 0, 2)
    claim = claim_of(clinic, invoice)
    assert (claim.amount_minor, claim.status) == (12_000, "open")
    assert (balance(clinic, "receivable:client"), balance(clinic, "receivable:payer")) == (0, 12_000)


def test_bill_that_is_covered_whole_is_settled_by_a_receipt_of_nothing(clinic: World) -> None:
    invoice = covered(clinic, 15_950)

    taken = clinic.pay(invoice)

    assert (taken.status, taken.applied_minor, len(taken.items)) == ("paid", 0, 2)


def test_payer_pays_many_claims_by_one_transfer(clinic: World) -> None:
    first, second = covered(clinic), covered(clinic, 8_000)
    for invoice, rest in ((first, "39.50"), (second, "79.50")):
        clinic.pay(invoice, f"card {rest}")
    assert len(clinic.run(lambda tx: claims.submit_claims(tx, payer="AXA"))) == 2

    part = clinic.run(lambda tx: claims.pay_claims(tx, payer="AXA", amount_minor=15_000, reference="T-1", key="t1"))
    again = clinic.run(lambda tx: claims.pay_claims(tx, payer="AXA", amount_minor=15_000, reference="T-1", key="t1"))
    with pytest.raises(ClaimOverpaid) as too_much:
        clinic.run(lambda tx: claims.pay_claims(tx, payer="AXA", amount_minor=5_001, reference="T-2"))
    clinic.run(
        lambda tx: claims.pay_claims(tx, payer="AXA", amount_minor=5_000, reference="T-2", parts={claim_of(clinic, second).id: 5_000})
    )

    assert again == part
    assert [amount for _, amount in part.parts] == [12_000, 3_000]
    assert too_much.value.facts["most_minor"] == 5_000
    assert {claim_of(clinic, each).status for each in (first, second)} == {"paid"}
    assert (balance(clinic, "receivable:payer"), balance(clinic, "method:transfer")) == (0, 20_000)


@pytest.mark.parametrize("amount", [0, -1, 12_001])
def test_money_that_the_payer_does_not_owe_is_refused(clinic: World, amount: int) -> None:
    clinic.pay(covered(clinic), "card 39.50")

    with pytest.raises(ClaimOverpaid):
        clinic.run(lambda tx: claims.pay_claims(tx, payer="AXA", amount_minor=amount, reference="T"))
    with pytest.raises(ClaimOverpaid):
        clinic.run(lambda tx: claims.pay_claims(tx, payer="AXA", amount_minor=100, reference="T", method="cash"))
    with pytest.raises(UnknownClaim):
        clinic.run(lambda tx: claims.pay_claims(tx, payer="AXA", amount_minor=1, reference="T", parts={"none": 1}))


def test_rejected_claim_is_the_clients_again(clinic: World) -> None:
    invoice = covered(clinic)
    clinic.pay(invoice, "card 39.50")
    claim = claim_of(clinic, invoice).id

    rejected = clinic.run(lambda tx: claims.reject_claim(tx, claim_id=claim, reason="not insured", amount_minor=2_000))
    seen = clinic.read(lambda tx: reading.read_invoice(tx, invoice=invoice)).invoice

    assert (rejected.status, rejected.rejected_minor) == ("open", 2_000)
    assert (seen.status, seen.amount_due_minor) == ("partial", 2_000)
    taken = clinic.pay(invoice, "card 20.00")
    assert (taken.status, taken.items, taken.amount_due_minor) == ("paid", (), 0)
    with pytest.raises(InvoiceAlreadyPaid):
        clinic.pay(invoice, "card 1.00")
    clinic.run(lambda tx: claims.reject_claim(tx, claim_id=claim, reason="not insured"))
    with pytest.raises(ClaimClosed):
        clinic.run(lambda tx: claims.reject_claim(tx, claim_id=claim, reason="again"))
    with pytest.raises(UnknownClaim):
        clinic.run(lambda tx: claims.reject_claim(tx, claim_id="none", reason="x"))


def test_credit_note_gives_each_its_part_back(clinic: World) -> None:
    invoice = covered(clinic)
    clinic.pay(invoice, "card 39.50")

    done = clinic.run(lambda tx: reversals.cancel_paid_invoice(tx, invoice_id=invoice, reason="wrong"))

    assert (done.credited_minor, done.refunded_minor, done.status) == (15_950, 3_950, "cancelled")
    assert claim_of(clinic, invoice).status == "cancelled"
    assert (balance(clinic, "receivable:client"), balance(clinic, "receivable:payer")) == (0, 0)


def test_what_the_payer_has_paid_is_not_credited(clinic: World) -> None:
    invoice = covered(clinic)
    clinic.pay(invoice, "card 39.50")
    clinic.run(lambda tx: claims.pay_claims(tx, payer="AXA", amount_minor=12_000, reference="T"))
    item = clinic.read(lambda tx: reading.read_invoice(tx, invoice=invoice)).items[0].id

    with pytest.raises(ClaimPaid):
        clinic.run(lambda tx: reversals.refund_items(tx, invoice_id=invoice, items=[Returned(item)], reason="wrong"))


def test_cancelled_invoice_takes_its_claim_along(clinic: World) -> None:
    invoice = covered(clinic)
    clinic.run(lambda tx: invoice_steps.issue_invoice(tx, invoice_id=invoice))
    other = covered(clinic)
    clinic.run(lambda tx: invoice_steps.issue_invoice(tx, invoice_id=other))
    clinic.run(lambda tx: claims.pay_claims(tx, payer="AXA", amount_minor=100, reference="T", parts={claim_of(clinic, other).id: 100}))

    clinic.run(lambda tx: invoice_steps.cancel_invoice(tx, invoice_id=invoice, reason="wrong"))
    with pytest.raises(ClaimPaid):
        clinic.run(lambda tx: invoice_steps.cancel_invoice(tx, invoice_id=other, reason="wrong"))

    assert claim_of(clinic, invoice).status == "cancelled"


def test_issued_invoice_gets_a_payer_as_long_as_nothing_is_paid(clinic: World) -> None:
    invoice = clinic.invoice("VIS", "LAB").id
    clinic.run(lambda tx: invoice_steps.issue_invoice(tx, invoice_id=invoice))

    done = cover(clinic, invoice, payer="AXA", amount_minor=10_000)
    with pytest.raises(CannotCover):
        cover(clinic, invoice, payer="AXA", amount_minor=5_000)

    assert (done.payer_minor, done.client_minor) == (10_000, 5_950)
    assert balance(clinic, "receivable:payer") == 10_000
    paid = clinic.invoice("VIS").id
    clinic.pay(paid, "card 100")
    with pytest.raises(CannotCover):
        cover(clinic, paid, payer="AXA", amount_minor=1)


def test_covered_draft_is_edited_without_its_payer(clinic: World) -> None:
    invoice = covered(clinic)

    with pytest.raises(InvoiceCovered):
        clinic.run(lambda tx: invoices.edit_invoice(tx, invoice_id=invoice, note="x"))
    assert cover(clinic, invoice).payer_minor == 0
    clinic.run(lambda tx: invoices.edit_invoice(tx, invoice_id=invoice, note="x"))


def test_coverage_pays_by_its_terms(clinic: World) -> None:
    patient = clinic.patient()
    plain = coverage(clinic, patient, item_copay_minor=1_000, visit_copay_minor=500)
    capped = coverage(clinic, patient, visit_cap_minor=3_000, year_cap_minor=5_000)
    first, second, third = (clinic.invoice("VIS", "LAB", patient_id=patient).id for _ in range(3))

    assert cover(clinic, first, coverage_id=plain).payer_minor == 7_200 + 3_960 - 500
    assert cover(clinic, second, coverage_id=capped).payer_minor == 3_000
    assert cover(clinic, third, coverage_id=capped).payer_minor == 2_000


def test_coverage_is_for_its_people_and_days(clinic: World) -> None:
    patient, other = clinic.patient(), clinic.patient()
    own = coverage(clinic, patient)
    ended = coverage(clinic, patient)
    past = coverage(clinic, patient, from_date=date(2020, 1, 1), until_date=date(2020, 2, 1))
    clinic.run(lambda tx: payers.end_coverage(tx, coverage_id=ended))

    for draft, named in (
        (clinic.invoice("VIS", patient_id=other).id, own),
        *((clinic.invoice("VIS", patient_id=patient).id, each) for each in (ended, past)),
    ):
        with pytest.raises(NotCovered):
            cover(clinic, draft, coverage_id=named)
    with pytest.raises(UnknownCoverage):
        cover(clinic, clinic.invoice("VIS").id, coverage_id="none")
    with pytest.raises(UnknownPayer):
        cover(clinic, clinic.invoice("VIS").id, payer="NONE", amount_minor=1)
    with pytest.raises(BadCover):
        cover(clinic, clinic.invoice("VIS").id, payer="AXA", amount_minor=10_001)


@pytest.mark.parametrize(
    "wrong",
    [{"percent_bp": 10_001}, {"item_copay_minor": -1}, {"visit_cap_minor": -1}, {"until_date": date(2020, 1, 1)}, {"client_id": "none"}],
)
def test_coverage_that_cannot_be_is_refused(clinic: World, wrong: dict[str, Any]) -> None:
    with pytest.raises(BadCoverage):
        coverage(clinic, clinic.patient(), **wrong)


def test_payers_have_codes_of_their_own(clinic: World) -> None:
    with pytest.raises(PayerTaken):
        clinic.run(lambda tx: payers.add_payer(tx, code="AXA", name="Another"))
    with pytest.raises(BadCoverage):
        clinic.run(lambda tx: payers.add_payer(tx, code="X", name="X", kind="friend"))
    clinic.run(lambda tx: payers.set_payer_active(tx, payer="AXA", active=False))

    assert [(row.code, row.active) for row in clinic.read(payers.list_payers)] == [("AXA", False)]


def test_claims_and_coverages_are_listed(clinic: World) -> None:
    patient = clinic.patient()
    coverage(clinic, patient)
    for _ in range(3):
        clinic.pay(covered(clinic), "card 39.50")

    page = clinic.read(lambda tx: claims.list_claims(tx, payer="AXA", only_open=True, limit=2))
    rest = clinic.read(lambda tx: claims.list_claims(tx, after=page[-1]))

    assert (len(page), len(rest), page[0].open_minor) == (2, 1, 12_000)
    assert len(clinic.read(payers.list_coverages)) == 1
