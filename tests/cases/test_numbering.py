"""Numbers: no gap and none twice, whatever fails, whoever else is numbering, and across New Year."""

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from billing import clock
from billing.plugin import Declaration, Department, Refused, hookimpl
from billing.services import invoice_steps, invoices, reading, staff
from billing.services.installation import open_database
from billing.services.series import add_series, list_series
from billing.settings import Settings
from billing.testing.race import Bill, Issue, race
from billing.testing.world import items_of
from billing.transaction import Transaction

if TYPE_CHECKING:
    from tests.cases.conftest import CaseWorld


class Annex:
    """A department that fails when it hears that an invoice is issued, as long as it is told to."""

    failure: Exception | None = None

    @hookimpl
    def declare(self) -> Declaration:
        return Declaration(departments=(Department("annex", "Annex", effects=False),))

    @hookimpl
    def on_invoice_issued(self) -> Iterator[Any]:
        if self.failure:
            raise self.failure
        yield from ()


def values(numbers: Iterable[str | None]) -> list[int]:
    """Return the counted part of printed numbers, in order."""
    return sorted(int(number.rpartition("-")[2]) for number in numbers if number)


@pytest.mark.case("P09")
def test_twenty_failures_of_four_kinds_use_no_number(open_world: Callable[..., "CaseWorld"]) -> None:
    """frappe/erpnext#14938: the series advanced although saving failed."""
    annex = Annex()
    world = open_world(annex=annex)
    world.choose(numbers_at="issue")
    world.service("ROOM", department="annex")
    for _ in range(6):
        world.bill("VISIT")
    draft = world.bill("VISIT", "ROOM", issued=False)

    def issue(tx: Transaction) -> Any:
        return invoice_steps.issue_invoice(tx, invoice_id=draft.id)

    def break_a_constraint(tx: Transaction) -> None:
        issue(tx)
        tx.flush()  # the number is taken here
        staff.add_staff(tx, login="c1", name="Twice", role="cashier")

    def lose_the_connection(tx: Transaction) -> None:
        issue(tx)
        connection = tx.session.connection()  # sends what was collected: the number is taken here
        if tx.dialect == "postgresql":
            connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
        else:
            connection.connection.driver_connection.close()  # type: ignore[union-attr]

    codes = []
    for _ in range(5):
        for failure in (Refused("the annex is closed"), ZeroDivisionError("a fault in the annex")):
            annex.failure = failure
            codes.append(world.refused(lambda: world.run(issue)))
        annex.failure = None
        codes.append(world.refused(lambda: world.run(break_a_constraint)))
        codes.append(world.refused(lambda: world.run(lose_the_connection)))
    issued = world.run(issue)

    # SQLite's file is not gone with a closed connection: there it is the unit that ended its transaction.
    lost = "database_unavailable" if world.database.dialect == "postgresql" else "plugin_violation"
    assert codes == ["refused", "plugin_violation", "already_member", lost] * 5
    assert values([issued.number]) == [7]


@pytest.mark.case("P10")
@pytest.mark.parametrize(("numbers_at", "numbers"), [("issue", [2, None, 1]), ("creation", [1, 2, 3])])
def test_a_discarded_draft_leaves_no_hole(
    numbers_at: str, numbers: list[int | None], world: "CaseWorld", asked: Callable[..., Any]
) -> None:
    """frappe/erpnext#8765: deleting a draft left a hole. Numbered at issue, in order of issue; at creation the discarded one keeps its number."""
    world.choose(numbers_at=numbers_at)
    first, second, third = (world.bill("VISIT", issued=False).id for _ in range(3))

    asked("invoice", "cancel", second, "--reason", "not wanted")
    asked("invoice", "issue", third)
    asked("invoice", "issue", first)

    shown = [world.seen(each).invoice.number for each in (first, second, third)]
    assert [int(each.rpartition("-")[2]) if each else None for each in shown] == numbers


@pytest.mark.case("P11")
@pytest.mark.parametrize("numbers_at", ["creation", "issue"])
def test_eight_workers_issue_twenty_five_invoices_each(numbers_at: str, world: "CaseWorld") -> None:
    """Paymenter/Paymenter#1244: read, add one, write gave duplicates. The case says 50 workers x 20: here 8 processes x 25, 200 numbers."""
    world.choose(numbers_at=numbers_at)
    patient = world.patient()

    outcomes = race(world.url, [[Bill(patient, ("VISIT",), issue=True)] * 25 for _ in range(8)], actors=["v1", "v2"], installed=True)

    assert {each.code for own in outcomes for each in own} == {None}
    assert values(each.number for own in outcomes for each in own) == list(range(1, 201))


@pytest.mark.case("P12")
def test_two_bulk_runs_of_two_hundred_share_one_series(world: "CaseWorld", asked: Callable[..., Any]) -> None:
    """hitobito/hitobito#4005: two bulk runs produced equal numbers, so payments were booked to the wrong invoice."""
    world.choose(numbers_at="issue")
    patient = world.patient()

    def draft(tx: Transaction) -> list[str]:
        return [invoices.create_invoice(tx, patient_id=patient, items=items_of(["VISIT"])).id for _ in range(200)]

    runs = [world.run(draft), world.run(draft)]

    outcomes = race(world.url, [[Issue(each) for each in run] for run in runs], actors=["v1", "v2"], installed=True)

    numbered = {each.number: each.id for own in outcomes for each in own}
    assert {each.code for own in outcomes for each in own} == {None}
    assert values(numbered) == list(range(1, 401))
    assert world.read(lambda tx: {number: reading.find_invoice_id(tx, str(number)) for number in numbered}) == numbered
    number = outcomes[1][100].number
    assert asked("pay", number, "--cash", "44")["invoice_id"] == numbered[number]


@pytest.mark.case("P13")
def test_a_year_begins_once_at_midnight_of_the_clinic(world: "CaseWorld") -> None:
    """invoiceninja/invoiceninja#7114: after the date of the reset the counter was reset at each new invoice."""
    year = clock.now().year + 1
    midnight = datetime(year, 12, 31, 23, tzinfo=UTC)  # in Berlin
    patient = world.patient()
    with clock.fixed(midnight - timedelta(microseconds=1)):
        old = [world.bill("VISIT") for _ in range(2)]
    with clock.fixed(midnight):
        new = [world.bill("VISIT") for _ in range(5)]
    with clock.fixed(midnight + timedelta(days=200)):
        later = world.bill("VISIT")

    forbidden = world.refused(
        lambda: world.run(lambda tx: invoice_steps.issue_invoice(tx, invoice_id=later.id), at=midnight - timedelta(days=1), actor="v1")
    )
    back_dated = world.run(
        lambda tx: invoices.create_invoice(tx, patient_id=patient, items=items_of(["VISIT"])), at=midnight - timedelta(days=1)
    )

    assert [each.number for each in old] == [f"INV-{year}-{value:05}" for value in (1, 2)]
    assert [each.number for each in new] == [f"INV-{year + 1}-{value:05}" for value in (1, 2, 3, 4, 5)]
    assert later.number == f"INV-{year + 1}-00006"
    assert forbidden == "permission_missing"
    assert back_dated.number == f"INV-{year}-00003"


@pytest.mark.case("P14")
def test_series_that_are_used_in_turn_are_gapless_each(world: "CaseWorld") -> None:
    """alyf-de/erpnext_germany#103: the check for gaps mixed series. Invoices, receipts and a second series of invoices, in turn."""
    world.run(lambda tx: add_series(tx, series="till", kind="invoice", format="T-{number}", reset="never"))

    for _ in range(5):
        one = world.bill("VISIT")
        world.bill("VISIT", series="till")
        world.pay(one.id, "cash 44")

    latest = {each.series: each.latest_value for each in world.read(list_series)}
    assert latest == {"invoice": 5, "till": 5, "receipt": 5, "credit_note": None}
    world.check_books()


@pytest.mark.case("P15")
def test_hundreds_in_one_clinic_give_no_lock_error_in_another(world: "CaseWorld") -> None:
    """getlago/lago-api#1508: one lock name for all customers made billing day fail. Here 3 processes x 100 in South, 10 invoices in North."""
    south, north = world.patient(clinic="south"), world.patient()
    acts = [*[[Bill(south, ("VISIT",), issue=True)] * 100 for _ in range(3)], [Bill(north, ("VISIT",), issue=True)] * 10]

    outcomes = race(world.url, acts, clinics=["south", "south", "south", "north"], installed=True)

    assert {each.code for own in outcomes for each in own} == {None}
    assert values(each.number for own in outcomes[:3] for each in own) == list(range(1, 301))
    assert values(each.number for each in outcomes[3]) == list(range(1, 11))


@pytest.mark.case("P15")
def test_a_clinic_never_waits_for_a_row_of_another(postgresql_world: "CaseWorld") -> None:
    """getlago/lago-api#1508: while South holds all locks of its numbers and its audit trail, North bills and is paid, and South waits."""
    world = postgresql_world
    south = world.patient(clinic="south")
    impatient = open_database(world.url, plugins=world.registry, settings=Settings(lock_timeout_seconds=0.2))

    def bill(tx: Transaction) -> Any:
        return invoices.create_invoice(tx, patient_id=south, items=items_of(["VISIT"]))

    def hold_all_locks(tx: Transaction) -> tuple[str, str]:
        bill(tx)
        tx.flush()  # number and audit head are locked from here to the end of this unit
        in_south = world.refused(lambda: impatient.run(bill, clinic="south", actor="operator"))
        return in_south, world.pay(world.n1().id, "cash 154").status

    assert world.run(hold_all_locks, clinic="south") == ("busy", "paid")
    impatient.dispose()
