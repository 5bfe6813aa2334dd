"""The books: the chart of accounts, the trial balance, and the journal as files that spreadsheets and plain-text accounting read."""

import csv
import io
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from beancount import loader
from beancount.core import data
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import update

from billing.model import JournalLine
from billing.services import accounts, balances, exports, invoice_steps, journal_export, ledger, periods, shifts
from billing.services.accounts import AccountNameTaken, AccountUnchanged, BadAccountName, UnknownAccount
from billing.services.balances import BadRange
from billing.testing.world import World

OCTOBER, NOVEMBER = datetime(2026, 10, 14, 9, 30, tzinfo=UTC), datetime(2026, 11, 20, 15, tzinfo=UTC)


def journal(world: World, form: Any = "csv", **days: Any) -> str:
    stream = io.StringIO(newline="")
    count = world.read(lambda tx: journal_export.write_journal(tx, stream=stream, form=form, **days))
    assert count >= 0
    return stream.getvalue()


def lines(world: World, **days: date) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(journal(world, **days), newline="")))


def closing(world: World, **days: date) -> dict[str, int]:
    return {each.account: each.closing_minor for each in world.read(lambda tx: balances.balances(tx, **days)) if each.closing_minor}


@pytest.fixture
def busy(world: World) -> World:
    """Return a clinic with sales in October and November, a shift with a difference, and a cancelled invoice."""
    world.service("VIS", price="44.00", tax="S 1900")
    world.lot(world.service("AMX", department="shelf", price="30.0125", tax="S 700"), "100")
    paid = world.run(lambda tx: invoice_of(world, tx, "VIS", "AMX:2.5"), at=OCTOBER)
    world.pay(paid, "card 40 C-1", "cash 100", at=OCTOBER)
    world.run(lambda tx: shifts.open_shift(tx, drawer="front", float_minor=10_000), at=NOVEMBER)
    part = world.run(lambda tx: invoice_of(world, tx, "VIS"), at=NOVEMBER)
    world.pay(part, "cash 10", scope="ON_ACCOUNT", at=NOVEMBER + timedelta(minutes=5))
    gone = world.run(lambda tx: invoice_of(world, tx, "AMX"), at=NOVEMBER)
    world.run(lambda tx: invoice_steps.issue_invoice(tx, invoice_id=gone), at=NOVEMBER)
    world.run(lambda tx: invoice_steps.cancel_invoice(tx, invoice_id=gone, reason="wrong patient"), at=NOVEMBER)
    world.run(lambda tx: shifts.close_shift(tx, counted={5_000: 2, 50: 19}), at=NOVEMBER + timedelta(hours=1))
    return world


def invoice_of(world: World, tx: Any, *items: str) -> str:
    from billing.model import Client, Patient, new_id
    from billing.services import invoices
    from billing.testing.world import items_of

    client = Client(id=new_id(), name="Ada Client", created_at=tx.at)
    patient = Patient(id=new_id(), client_id=client.id, kind="person", name="Ada", sex="female", created_at=tx.at)
    tx.session.add(client)
    tx.session.flush()  # the patient refers to the client
    tx.session.add(patient)
    tx.session.flush()
    return invoices.create_invoice(tx, patient_id=patient.id, items=items_of(items)).id


def test_chart_has_defaults_for_what_every_clinic_has_and_for_what_was_booked(busy: World) -> None:
    found = {each.account: (each.code, each.name) for each in busy.read(accounts.list_accounts)}

    assert found["cash"] == ("1000", "Assets:Cash:Drawers")
    assert found["method:transfer"] == ("1100", "Assets:Methods:Transfer")
    assert found["wallet"] == ("2100", "Liabilities:Wallets")
    assert found["revenue:shelf"] == ("4000", "Income:Revenue:Shelf")
    assert found["tax:S:700"] == ("2200", "Liabilities:Tax:S-700")


def test_account_gets_a_number_and_a_name_and_the_lines_keep_their_key(busy: World) -> None:
    before = closing(busy)

    made = busy.run(lambda tx: accounts.set_account(tx, account="revenue:shelf", code="8400", name="Income:Pharmacy:Full"))
    again = busy.run(lambda tx: accounts.set_account(tx, account="revenue:shelf", code="8401"))

    assert (made.code, again.code, again.name, again.own) == ("8400", "8401", "Income:Pharmacy:Full", True)
    assert again in busy.read(accounts.list_accounts)
    assert closing(busy) == before
    assert {(row["account"], row["code"], row["name"]) for row in lines(busy) if row["account"] == "revenue:shelf"} == {
        ("revenue:shelf", "8401", "Income:Pharmacy:Full")
    }
    assert "Income:Pharmacy:Full" in journal(busy, "beancount")


@pytest.mark.parametrize(
    ("wanted", "error"),
    [
        ({"account": "revenue:moon", "code": "1"}, UnknownAccount),
        ({"account": "cash", "name": "drawers"}, BadAccountName),
        ({"account": "cash", "name": "Assets:Cash:Safe"}, AccountNameTaken),
        ({"account": "cash", "code": "1000"}, AccountUnchanged),
        ({"account": "cash"}, AccountUnchanged),
    ],
)
def test_account_that_cannot_be_so_is_refused(world: World, wanted: dict[str, str], error: type[Exception]) -> None:
    with pytest.raises(error):
        world.run(lambda tx: accounts.set_account(tx, **wanted))


def test_trial_balance_sums_to_zero_and_opens_with_what_stood(busy: World) -> None:
    everything = busy.read(balances.balances)
    november = busy.read(lambda tx: balances.balances(tx, from_date=date(2026, 11, 1)))

    assert sum(each.closing_minor for each in everything) == 0
    assert {each.account: each.closing_minor for each in november} == {each.account: each.closing_minor for each in everything}
    for each in (*everything, *november):
        assert each.opening_minor + each.debit_minor - each.credit_minor == each.closing_minor
    assert {each.opening_minor for each in everything} == {0}
    card = next(each for each in november if each.account == "method:card")
    assert (card.opening_minor, card.debit_minor, card.credit_minor) == (4_000, 0, 0)
    assert closing(busy)["shift_difference"] == 11_000 - 10_950
    assert closing(busy)["safe"] == 10_950 - 10_000


def test_days_that_end_before_they_begin_are_refused(world: World) -> None:
    days = {"from_date": date(2026, 11, 2), "until_date": date(2026, 11, 1)}

    with pytest.raises(BadRange):
        world.read(lambda tx: balances.balances(tx, **days))
    with pytest.raises(BadRange):
        world.read(lambda tx: journal_export.export_journal(tx, **days))


def test_lines_are_exported_in_the_order_of_days_with_their_documents(busy: World) -> None:
    rows = lines(busy)

    assert [row["date"] for row in rows] == sorted(row["date"] for row in rows)
    by_entry: dict[tuple[str, str], Decimal] = {}
    for row in rows:
        entry = row["action_id"], row["kind"]
        by_entry[entry] = by_entry.get(entry, Decimal(0)) + Decimal(row["debit"] or 0) - Decimal(row["credit"] or 0)
        assert (row["debit"] == "") != (row["credit"] == "")
    assert set(by_entry.values()) == {Decimal(0)}
    payment = next(row for row in rows if row["kind"] == "payment" and row["account"] == "cash")
    assert payment["document"].startswith("R-2026-")
    issue = next(row for row in rows if row["kind"] == "issue")
    assert issue["document"].startswith("INV-2026-")
    assert {row["currency"] for row in rows} == {"EUR"}


def test_unit_that_begins_again_writes_its_head_once(busy: World) -> None:
    before = lines(busy)

    busy.run(lambda tx: shifts.open_shift(tx, drawer="front", float_minor=0))  # what is kept of who acts is old from here on

    assert [row for row in lines(busy) if row["kind"] != "shift_opened"] == [row for row in before if row["kind"] != "shift_opened"]


def test_every_line_is_exported_once_whatever_the_batch(busy: World, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = {form: journal(busy, form) for form in ("csv", "beancount", "hledger")}

    monkeypatch.setattr(exports, "BATCH", 2)

    assert {form: journal(busy, form) for form in whole} == whole
    assert len(lines(busy)) == int(busy.read(lambda tx: tx.session.query(JournalLine).count()))


def test_days_are_exported_from_the_first_to_before_the_last(busy: World) -> None:
    days = [date(2026, 10, 1), date(2026, 10, 14), date(2026, 10, 15), date(2026, 11, 20), date(2026, 12, 1)]

    parts = [lines(busy, from_date=first, until_date=end) for first, end in pairwise(days)]

    assert [row for part in parts for row in part] == lines(busy)
    assert parts[0] == parts[2] == []


def by_beancount(text: str) -> dict[str, Decimal]:
    """Read a ledger by beancount itself; returns what stands on each of its accounts."""
    entries, errors, _ = loader.load_string(text)
    assert errors == []
    found: dict[str, Decimal] = {}
    for entry in entries:
        if isinstance(entry, data.Transaction):
            for posting in entry.postings:
                assert posting.units is not None
                assert isinstance(posting.units.number, Decimal)
                found[posting.account] = found.get(posting.account, Decimal(0)) + posting.units.number
    return {name: amount for name, amount in found.items() if amount}


def by_hledger(text: str) -> dict[str, Decimal]:
    """Read a ledger by the grammar of hledger's manual; each entry sums to zero and names declared accounts only."""
    declared, found = set(), dict[str, Decimal]()
    head, *entries = text.split("\n\n")
    for line in head.splitlines():
        assert re.fullmatch(r"; .*|decimal-mark \.|commodity 1000\.0* [A-Z]{3}|account \S+  ; code:.+", line), line
        if line.startswith("account "):
            declared.add(line.split()[1])
    for entry in entries:
        first, *postings = entry.strip("\n").splitlines()
        assert re.fullmatch(r"\d{4}-\d\d-\d\d \* (\([^()]+\) )?[^;|()]+  ; action:[0-9a-f-]{36}", first), first
        total = Decimal(0)
        for posting in postings:
            read = re.fullmatch(r"    (\S+)  (-?[0-9.]+) [A-Z]{3}", posting)
            assert read, posting
            assert read[1] in declared
            total += Decimal(read[2])
            found[read[1]] = found.get(read[1], Decimal(0)) + Decimal(read[2])
        assert total == 0
    return {name: amount for name, amount in found.items() if amount}


def by_the_books(world: World, exponent: int) -> dict[str, Decimal]:
    found = world.read(balances.balances)
    return {each.name: Decimal(each.closing_minor).scaleb(-exponent) for each in found if each.closing_minor}


def test_beancount_and_hledger_come_to_our_balances(busy: World) -> None:
    expected = by_the_books(busy, 2)

    assert by_beancount(journal(busy, "beancount")) == expected
    assert by_hledger(journal(busy, "hledger")) == expected


@pytest.mark.parametrize(("code", "exponent", "price", "given"), [("JPY", 0, "1240.5", "cash 3000"), ("TND", 3, "12.3455", "cash 20")])
def test_currency_keeps_its_decimals(database_url: str, code: str, exponent: int, price: str, given: str) -> None:
    world = World(database_url, currency=code)
    world.service("VIS", price=price, tax="S 1000")
    world.pay(world.invoice("VIS").id, given)

    beancount, hledger, expected = journal(world, "beancount"), journal(world, "hledger"), by_the_books(world, exponent)

    world.dispose()
    assert expected
    assert by_beancount(beancount) == by_hledger(hledger) == expected


def test_clinic_without_a_journal_is_a_ledger_without_entries(world: World) -> None:
    assert by_beancount(journal(world, "beancount")) == by_hledger(journal(world, "hledger")) == {}
    assert lines(world) == []


@pytest.mark.parametrize("form", ["beancount", "hledger"])
def test_files_of_following_months_are_what_the_whole_is(busy: World, form: str) -> None:
    read: Callable[[str], dict[str, Decimal]] = by_beancount if form == "beancount" else by_hledger

    october, november = journal(busy, form, until_date=date(2026, 11, 1)), journal(busy, form, from_date=date(2026, 11, 1))
    sums = dict(read(october))
    for name, amount in read(november).items():
        sums[name] = sums.get(name, Decimal(0)) + amount

    assert {name: amount for name, amount in sums.items() if amount} == by_the_books(busy, 2)


@pytest.fixture(scope="module")
def ledgers(sqlite_template: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    path = tmp_path_factory.mktemp("ledgers") / "billing.sqlite3"
    shutil.copyfile(sqlite_template, path)
    world = World(f"sqlite:///{path}")
    world.service("VIS", price="44.00", tax="S 1900")
    world.service("LAB", price="10.05", tax="S 700")
    yield world
    world.dispose()


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.sampled_from(["VIS", "LAB", "VIS:2.5"]), st.sampled_from(["pay", "part", "issue", "cancel"]), st.integers(0, 60)))
)
def test_whatever_is_booked_both_read_what_stands(ledgers: World, acts: list[tuple[str, str, int]]) -> None:
    for item, act, days in sorted(acts, key=lambda each: each[2]):
        at = datetime(2026, 9, 1, 12, tzinfo=UTC) + timedelta(days=days)
        made = ledgers.run(lambda tx, item=item: invoice_of(ledgers, tx, item), at=at)  # type: ignore[misc]
        if act == "pay":
            ledgers.pay(made, "cash 200", at=at)
        elif act == "part":
            ledgers.pay(made, "card 3.33 C-1", scope="ON_ACCOUNT", at=at)
        else:
            ledgers.run(lambda tx, made=made: invoice_steps.issue_invoice(tx, invoice_id=made), at=at)  # type: ignore[misc]
        if act == "cancel":
            ledgers.run(lambda tx, made=made: invoice_steps.cancel_invoice(tx, invoice_id=made, reason="no"), at=at)  # type: ignore[misc]

    expected = by_the_books(ledgers, 2)

    assert by_beancount(journal(ledgers, "beancount")) == by_hledger(journal(ledgers, "hledger")) == expected


@pytest.mark.parametrize("form", ["beancount", "hledger"])
def test_programs_of_this_machine_read_it_too(busy: World, form: str, tmp_path: Any) -> None:
    """Where the program itself is installed it judges; everywhere the reader above has."""
    program = shutil.which("hledger") if form == "hledger" else shutil.which("bean-check")
    file = tmp_path / "books.journal"
    file.write_text(journal(busy, form), encoding="utf-8")
    assert file.stat().st_size

    if program:
        command = [program, "-f", str(file), "check", "--strict"] if form == "hledger" else [program, str(file)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")


def test_balances_before_a_day_are_the_same_with_and_without_closed_months(busy: World) -> None:
    days = [date(2026, 10, 14), date(2026, 10, 15), date(2026, 11, 1), date(2026, 11, 2), date(2026, 11, 21)]
    before = busy.read(lambda tx: [ledger.balances_before(tx, day) for day in days])

    busy.run(lambda tx: periods.close_period(tx, month="2026-10"), at=NOVEMBER + timedelta(days=1))

    assert busy.read(lambda tx: [ledger.balances_before(tx, day) for day in days]) == before


def test_balance_of_a_closed_month_is_read_from_its_end(busy: World) -> None:
    busy.run(lambda tx: periods.close_period(tx, month="2026-10"), at=NOVEMBER + timedelta(days=1))
    with busy.admin.begin() as connection:
        lowered = update(JournalLine).where(JournalLine.kind == "issue").values(business_date=date(2026, 9, 1))
        connection.execute(lowered)  # behind everybody's back: what a closed month stood at is not computed again

    opening = {each.account: each.opening_minor for each in busy.read(lambda tx: balances.balances(tx, from_date=date(2026, 11, 1)))}

    assert opening["method:card"] == 4_000
    assert opening["receivable:client"] == 0
