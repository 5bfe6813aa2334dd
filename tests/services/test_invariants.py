"""The core's invariants: honest books keep them all, and every one is shown to fire on a fault that was planted behind the services' back."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import Column, Table, make_url, text

from billing.model import Base, types
from billing.rules.tenders import Tender
from billing.rules.totals import TaxGroup
from billing.services import (
    audit,
    cash_moves,
    consultations,
    discount_codes,
    doctor,
    invoice_steps,
    patients,
    periods,
    prices,
    shifts,
    staff,
    wallets,
)
from billing.services.doctor import Check
from billing.services.invariants import acts, code
from billing.services.quotation import NewAdjustment, NewItem
from billing.testing.postgres import APPLICATION, OWNER
from billing.testing.world import World

if TYPE_CHECKING:
    from pathlib import Path

    from billing.testing.postgres import PostgresServer

JANUARY, FEBRUARY = datetime(2026, 1, 14, 9, 30, tzinfo=UTC), datetime(2026, 2, 14, 9, 30, tzinfo=UTC)
NOBODY = "00000000-0000-0000-0000-00000000dead"
MADE = "00000000-0000-0000-0000-00000000beef"
PAID = "(SELECT id FROM invoice WHERE status = 'paid')"
DESK_PAID = "(SELECT invoice_id FROM payment WHERE scope = 'desk' ORDER BY receipt_value LIMIT 1)"
DRAFT = "(SELECT id FROM invoice WHERE status = 'draft')"
FIRST_ITEM = f"(SELECT id FROM invoice_item WHERE invoice_id = {PAID} AND position = 1)"
ALL_PAYMENT = "(SELECT id FROM payment WHERE scope = 'ALL')"
SHIFT = f"(SELECT shift_id FROM payment WHERE id = {ALL_PAYMENT})"
ON_ACCOUNT = "(SELECT id FROM payment WHERE scope = 'ON_ACCOUNT')"

ACTS = (
    *("invoice.created", "invoice.issued", "invoice.cancelled", "payment.taken"),
    *("shift.opened", "shift.closed", "wallet.topped_up", "wallet.paid_out"),
)

FAULTS: list[tuple[str, ...]] = [
    ("invoice_sums", f"UPDATE invoice SET line_total_minor = line_total_minor + 1, charge_minor = charge_minor - 1 WHERE id = {PAID}"),
    ("invoice_sums", f"UPDATE invoice SET net_minor = net_minor + 1, tax_minor = tax_minor - 1 WHERE id = {PAID}"),
    ("invoice_sums", f"DELETE FROM invoice_item WHERE invoice_id = {DRAFT}"),
    ("invoice_sums", f"DELETE FROM invoice_adjustment WHERE invoice_id = {PAID} AND item_id IS NULL"),
    ("item_arithmetic", f"UPDATE invoice_item SET unit_price_e4 = unit_price_e4 + 10000 WHERE id = {FIRST_ITEM}"),
    ("item_arithmetic", f"UPDATE invoice_item SET taxable_minor = taxable_minor + 1, tax_minor = tax_minor - 1 WHERE id = {FIRST_ITEM}"),
    ("item_arithmetic", f"DELETE FROM invoice_adjustment WHERE item_id = {FIRST_ITEM}"),
    ("invoice_taxes", f"UPDATE invoice_tax SET tax_minor = tax_minor + 1 WHERE invoice_id = {PAID} AND tax_rate_bp > 0"),
    (
        "invoice_taxes",
        f"UPDATE invoice_item SET taxable_minor = taxable_minor + 9, tax_minor = tax_minor - 9 WHERE id = {FIRST_ITEM}",
        f"UPDATE invoice_tax SET taxable_minor = taxable_minor + 9, tax_minor = tax_minor - 9 WHERE invoice_id = {PAID} AND tax_rate_bp > 0",
    ),
    ("item_has_tax_row", f"DELETE FROM invoice_tax WHERE invoice_id = {PAID}"),
    ("invoice_status", f"UPDATE invoice SET status = 'partial' WHERE id = {PAID}"),
    ("invoice_status", f"UPDATE invoice SET status = 'sent' WHERE id = {DRAFT}"),
    ("invoice_paid_within_total", f"UPDATE invoice SET amount_paid_minor = total_minor + 1 WHERE id = {PAID}"),
    ("invoice_dates", f"UPDATE invoice SET due_date = '2001-01-01' WHERE id = {PAID}"),
    ("invoice_dates", f"UPDATE invoice SET content_hash = NULL WHERE id = {PAID}"),
    ("invoice_currency", f"UPDATE invoice SET currency = 'CHF' WHERE id = {DRAFT}"),
    ("cancelled_holds_nothing", "UPDATE invoice SET amount_paid_minor = 1 WHERE status = 'cancelled'"),
    ("invoice_source_claimed", "DELETE FROM source_claim WHERE source = 'encounter:1'"),
    ("item_source_claimed", f"UPDATE source_claim SET invoice_id = {DRAFT} WHERE source = 'prescription:1'"),
    ("claim_has_source", "UPDATE source_claim SET source = 'nothing' WHERE source = 'encounter:1'"),
    ("invoice_paid_is_its_payments", f"UPDATE invoice SET amount_paid_minor = amount_paid_minor - 1 WHERE id = {PAID}"),
    ("payment_identity", f"UPDATE payment SET change_minor = change_minor + 1 WHERE id = {ALL_PAYMENT}"),
    ("payment_tenders", f"UPDATE tender SET amount_minor = amount_minor + 1 WHERE payment_id = {ALL_PAYMENT}"),
    ("payment_tenders", f"DELETE FROM tender WHERE payment_id = {ALL_PAYMENT}"),
    ("payment_is_what_was_due", f"UPDATE payment SET due_minor = due_minor + 1 WHERE id = {ALL_PAYMENT}"),
    ("payment_is_what_was_due", "UPDATE payment SET due_minor = 1 WHERE scope = 'ON_ACCOUNT'"),
    ("payment_of_issued_invoice", f"UPDATE payment SET currency = 'CHF' WHERE id = {ALL_PAYMENT}"),
    ("payment_of_issued_invoice", f"UPDATE payment SET invoice_id = {DRAFT} WHERE id = {ALL_PAYMENT}"),
    ("scope_settled_whole", f"UPDATE invoice_item SET payment_id = NULL WHERE invoice_id = {DESK_PAID}"),
    ("scope_settled_whole", f"UPDATE invoice_item SET payment_id = NULL WHERE invoice_id = {PAID}"),
    ("department_settled_whole", f"UPDATE invoice_item SET payment_id = NULL WHERE id = {FIRST_ITEM}"),
    ("money_covers_settled_items", f"UPDATE invoice SET amount_paid_minor = amount_paid_minor - 1 WHERE id = {DESK_PAID}"),
    ("nothing_due_is_settled", f"UPDATE invoice_item SET payment_id = NULL WHERE id = {FIRST_ITEM}"),
    (
        "item_paid_once",
        (
            f"INSERT INTO payment_item (clinic_id, payment_id, item_id, amount_minor) SELECT clinic_id, {ON_ACCOUNT}, item_id, amount_minor "
            f"FROM payment_item WHERE payment_id = {ALL_PAYMENT}"
        ),
    ),
    ("item_paid_as_recorded", f"UPDATE payment_item SET amount_minor = amount_minor + 1 WHERE payment_id = {ALL_PAYMENT}"),
    ("item_paid_as_recorded", f"DELETE FROM payment_item WHERE payment_id = {ALL_PAYMENT}"),
    ("item_paid_as_recorded", f"UPDATE invoice_item SET paid_at = NULL WHERE id = {FIRST_ITEM}"),
    ("payment_item_of_its_invoice", f"UPDATE payment SET invoice_id = {DRAFT} WHERE id = {ALL_PAYMENT}"),
    ("payment_item_of_its_invoice", f"UPDATE invoice_item SET payment_id = NULL WHERE id = {FIRST_ITEM}"),
    ("effect_of_its_payment", f"UPDATE effect SET action_id = '{NOBODY}' WHERE action_id = {ALL_PAYMENT}"),
    ("invoice_numbers_gapless", "UPDATE number_counter SET latest_value = latest_value + 1 WHERE series = 'invoice'"),
    ("invoice_numbers_gapless", f"UPDATE invoice SET number_value = 1000 WHERE id = {DRAFT}"),
    ("invoice_numbers_gapless", "UPDATE invoice SET number_period = '1999'"),
    ("receipt_numbers_gapless", "UPDATE number_counter SET latest_value = latest_value - 1 WHERE series = 'receipt'"),
    ("receipt_numbers_gapless", f"DELETE FROM payment WHERE id = {ALL_PAYMENT}"),
    ("receipt_numbers_gapless", "UPDATE number_series SET start_value = 2 WHERE series = 'receipt'"),
    ("invoice_number_counted", f"UPDATE invoice SET series = 'receipt' WHERE id = {PAID}"),
    ("receipt_number_counted", f"UPDATE payment SET receipt_period = '1999' WHERE id = {ALL_PAYMENT}"),
    ("invoice_number_prints_once", f"UPDATE invoice SET number = 'INV-1' WHERE id IN ({PAID}, {DRAFT})"),
    ("receipt_number_prints_once", "UPDATE payment SET receipt_number = 'R-1'"),
    ("invoice_number_whole", f"UPDATE invoice SET number_period = NULL WHERE id = {PAID}"),
    (
        "invoice_number_whole",
        f"UPDATE invoice SET series = NULL, number_period = NULL, number_value = NULL, number = NULL WHERE id = {PAID}",
    ),
    ("service_costs_its_latest_price", "UPDATE service SET unit_price_e4 = unit_price_e4 + 1 WHERE code = 'VIS'"),
    *(
        (f"{act.replace('.', '_')}_in_{place}", f"DELETE FROM {table} WHERE {column} = '{act}'")
        for act in ACTS
        for place, table, column in (("audit_trail", "audit_entry", "action"), ("outbox", "event", "topic"))
    ),
    ("invoice_issued_in_audit_trail", "UPDATE invoice SET issued_at = NULL WHERE status = 'paid'"),
    *((f"{act.replace('.', '_')}_event_names_its_row", f"UPDATE event SET subject_id = 'nobody' WHERE topic = '{act}'") for act in ACTS),
    ("audit_names_its_row", f"UPDATE audit_entry SET subject_id = '{NOBODY}' WHERE subject = 'consultation'"),
    ("audit_names_its_row", "UPDATE audit_entry SET subject_id = 'rubbish' WHERE subject = 'service'"),
    ("change_by_method", "UPDATE tender SET method = 'card' WHERE method = 'cash'"),
    ("rounding_by_method", "UPDATE payment SET rounding_minor = 1 WHERE scope = 'desk'"),
    ("shelf_paid_items_have_effects", "DELETE FROM effect WHERE plugin = 'shelf'"),
    ("desk_paid_items_have_effects", f"UPDATE effect SET action_id = '{NOBODY}' WHERE plugin = 'desk'"),
    ("audit_chain", "UPDATE audit_entry SET data = '{}' WHERE position = 3"),
    ("audit_chain", "DELETE FROM audit_entry WHERE action = 'payment.taken'"),
    ("invoice_recomputed", f"UPDATE invoice_item SET description = 'Something else' WHERE id = {FIRST_ITEM}"),
    ("invoice_recomputed", f"UPDATE invoice SET due_date = '2050-01-01' WHERE id = {PAID}"),
    ("invoice_recomputed", f"UPDATE invoice_item SET tax_category = 'nonsense' WHERE invoice_id = {DRAFT}"),
    (
        "invoice_recomputed",
        f"UPDATE invoice_item SET tax_minor = tax_minor + 1, total_minor = total_minor + 1 WHERE id = {FIRST_ITEM}",
        f"UPDATE invoice_item SET tax_minor = tax_minor - 1, total_minor = total_minor - 1 WHERE invoice_id = {PAID} AND position = 2",
    ),
    ("invoice_recomputed", f"UPDATE invoice_tax SET taxable_minor = taxable_minor + 1 WHERE invoice_id = {DRAFT}"),
    ("invoice_recomputed", f"UPDATE invoice SET charge_minor = charge_minor + 1 WHERE id = {DRAFT}"),
    ("journal_balances", "UPDATE journal_line SET amount_minor = amount_minor + 1 WHERE kind = 'payment' AND account = 'cash'"),
    ("journal_complete", f"DELETE FROM journal_line WHERE action_id = {PAID} AND kind = 'issue'"),
    ("journal_complete", f"DELETE FROM journal_line WHERE action_id = {ALL_PAYMENT}"),
    ("journal_complete", "DELETE FROM journal_line WHERE kind = 'cancel'"),
    ("journal_complete", f"UPDATE journal_line SET action_id = '{NOBODY}' WHERE action_id = {ON_ACCOUNT}"),
    (
        "journal_agrees_with_receivables",
        f"UPDATE journal_line SET client_id = '{NOBODY}' WHERE action_id = {ALL_PAYMENT} AND client_id IS NOT NULL",
    ),
    ("journal_agrees_with_receivables", f"UPDATE invoice SET amount_paid_minor = amount_paid_minor - 1 WHERE id = {PAID}"),
    (
        "journal_agrees_with_claims",
        f"UPDATE journal_line SET account = 'receivable:payer', payer_id = '{NOBODY}' WHERE kind = 'cancel' AND account = 'receivable:client'",
    ),
    ("journal_agrees_with_wallets", f"UPDATE journal_line SET account = 'wallet' WHERE action_id = {ON_ACCOUNT} AND amount_minor > 0"),
    ("takings_are_the_journal", "UPDATE takings SET amount_minor = amount_minor + 1 WHERE method = 'cash'"),
    ("takings_are_the_journal", "UPDATE takings SET method = 'card' WHERE method = 'transfer'"),
    ("takings_are_the_journal", "DELETE FROM takings WHERE method = 'card'"),
    ("document_is_what_its_act_says", f"UPDATE payment SET due_minor = due_minor + 1 WHERE id = {ON_ACCOUNT}"),
    ("document_is_what_its_act_says", f"UPDATE payment SET receipt_number = 'Z' || receipt_number WHERE id = {ALL_PAYMENT}"),
    ("document_is_what_its_act_says", f"UPDATE payment SET taken_by = '{NOBODY}' WHERE id = {ALL_PAYMENT}"),
    ("document_is_what_its_act_says", f"UPDATE invoice SET number = 'Z' || number WHERE id = {DRAFT}"),
    ("document_is_what_its_act_says", "UPDATE wallet_move SET done_by = client_id WHERE kind = 'pay_out'"),
    ("wallet_is_its_moves", "UPDATE wallet SET balance_minor = balance_minor + 1"),
    ("wallet_is_its_moves", "DELETE FROM wallet_move WHERE kind = 'top_up'"),
    ("wallet_moves_are_their_acts", "UPDATE tender SET method = 'card' WHERE method = 'wallet'"),
    ("wallet_moves_are_their_acts", "UPDATE wallet_move SET amount_minor = amount_minor - 1 WHERE kind = 'payment'"),
    ("wallet_receipt_adds_up", "UPDATE wallet_move SET tendered_minor = tendered_minor + 1 WHERE kind = 'pay_out'"),
    ("wallet_receipt_adds_up", f"UPDATE wallet_move SET action_id = '{NOBODY}' WHERE kind = 'top_up'"),
    ("receipt_numbers_gapless", "DELETE FROM wallet_move WHERE kind = 'top_up'"),
    ("journal_agrees_with_wallets", "UPDATE wallet SET balance_minor = balance_minor + 1"),
    ("discount_code_uses", "UPDATE discount_code SET uses_left = uses_left + 1"),
    ("discount_code_uses", "DELETE FROM discount_use"),
    ("discount_of_a_used_code", f"UPDATE discount_use SET invoice_id = {PAID}"),
    ("discount_approved_by_another", "UPDATE invoice_adjustment SET approved_by = given_by WHERE code_id IS NULL"),
    ("payment_in_its_shift", f"UPDATE payment SET shift_id = '{NOBODY}' WHERE id = {ALL_PAYMENT}"),
    ("payment_in_its_shift", f"UPDATE shift SET cashier_id = '{NOBODY}' WHERE id = {SHIFT}"),
    ("payment_in_its_shift", f"UPDATE shift SET opened_date = '2050-01-01' WHERE id = {SHIFT}"),
    ("payment_in_its_shift", f"UPDATE shift SET closed_date = '2026-01-02' WHERE id = {SHIFT}"),
    (
        "shift_expected",
        f"UPDATE shift_count SET expected_minor = expected_minor + 1, counted_minor = counted_minor + 1 WHERE shift_id = {SHIFT}",
    ),
    ("shift_expected", f"DELETE FROM shift_count WHERE shift_id = {SHIFT} AND method = 'card'"),
    ("shift_expected", f"UPDATE journal_line SET shift_id = NULL WHERE action_id = {ALL_PAYMENT}"),
    ("closed_drawer_is_empty", "UPDATE journal_line SET amount_minor = amount_minor + 1 WHERE kind = 'shift_closed' AND account = 'cash'"),
    ("closed_drawer_is_empty", f"DELETE FROM journal_line WHERE kind = 'shift_difference:card' AND shift_id = {SHIFT}"),
    ("cashier_has_one_open_shift", "DROP INDEX IF EXISTS ux_shift_cashier", "UPDATE shift SET closed_at = NULL, drawer = id"),
    ("drawer_has_one_open_shift", "DROP INDEX IF EXISTS ux_shift_drawer", "UPDATE shift SET closed_at = NULL, cashier_id = id"),
    ("z_report_is_its_count", f"UPDATE shift_count SET counted_minor = counted_minor + 1 WHERE shift_id = {SHIFT} AND method = 'card'"),
    ("z_report_is_its_count", "UPDATE shift SET denominations = '{\"1\":1}' WHERE closed_at IS NOT NULL"),
    ("closed_months_unchanged", "UPDATE period SET balances = '{}'"),
    ("closed_months_unchanged", f"UPDATE journal_line SET business_date = '2026-01-20' WHERE action_id = {ALL_PAYMENT}"),
    (
        "closed_months_unchanged",
        "UPDATE journal_line SET amount_minor = amount_minor * 2 WHERE business_date < '2026-02-01'",
        "UPDATE period SET balances = replace(replace(balances, '50', '100'), '-50', '-100')",
    ),
    ("closed_months_unchanged", "UPDATE audit_head SET closed_through = NULL"),
    ("closed_months_unchanged", "UPDATE period SET until_date = '2026-02-10' WHERE until_date = '2026-02-28'"),
    ("key_answered", "UPDATE idempotency_key SET answer = 'null' WHERE key = 'pay-1'"),
    ("key_answered", f"UPDATE idempotency_key SET answer = '{{\"id\":\"{NOBODY}\"}}' WHERE key = 'invoice-1'"),
]
"""What is planted for each rule that the core writes out; the others are made from the tables' own descriptions, as their faults are."""


def _plain_value(column: Column[Any]) -> str:
    values = {
        types.IdType: f"'{MADE}'",
        types.DayType: "'2026-01-31'",
        types.InstantType: "'2026-01-31T09:00:00.000000+00:00'",
        types.FlagType: "FALSE",
        types.WholeType: "1",
        types.JsonType: "'{}'",
    }
    return values.get(type(column.type), "'x'")


class Books:
    """A clinic's books that can be damaged, and undamaged."""

    row: str
    """What the database calls a row by, whatever its key."""

    def __init__(self, url: str) -> None:
        self.world = World(url)
        _fill(self.world)
        self._tables = [table.name for table in Base.metadata.sorted_tables if table.name in self.world.dump()]
        self._saved: Any = None

    def plant(self, *statements: str) -> None:
        """Write past every constraint."""
        raise NotImplementedError

    def undo(self) -> None:
        """Bring the books back to what they were."""
        raise NotImplementedError

    def plant_in_one_row(self, table: str, change: str) -> None:
        """Change one row of a table, whichever it is; one that is made for it, where none of the services has written any."""
        self.plant(*dict.fromkeys(self._missing_rows(Base.metadata.tables[table])))
        self.plant(f"UPDATE {table} SET {change} WHERE {self.row} = (SELECT {self.row} FROM {table} LIMIT 1)")

    def _missing_rows(self, table: Table) -> list[str]:
        """Return statements for one row of the table, which refers to rows that are there or are made as well; none where it has rows."""
        if self._count(table.name):
            return []
        keys = [key for key in table.foreign_key_constraints if not any(each.parent.nullable for each in key.elements)]
        made = [text for key in keys if key.referred_table is not table for text in self._missing_rows(key.referred_table)]
        values = {column.name: _plain_value(column) for column in table.columns if not column.nullable}
        values["clinic_id"] = "(SELECT clinic_id FROM clinic)"
        for key in keys:
            values |= {each.parent.name: f"(SELECT {each.column.name} FROM {key.referred_table.name} LIMIT 1)" for each in key.elements}
        return [*made, f"INSERT INTO {table.name} ({', '.join(values)}) SELECT {', '.join(values.values())}"]

    def _count(self, table: str) -> int:
        with self.world.admin.connect() as connection:
            return int(connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())

    def fired(self, rule: str) -> Check:
        (check,) = self.world.read(lambda tx: doctor.examine(tx, only=[rule])).checks
        return check


class SQLiteBooks(Books):
    row = "rowid"

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._path = str(make_url(url).database)
        self._saved = sqlite3.connect(":memory:")
        with closing(sqlite3.connect(self._path)) as live:
            live.backup(self._saved)

    def plant(self, *statements: str) -> None:
        with closing(sqlite3.connect(self._path)) as live:
            live.executescript(";".join(["PRAGMA foreign_keys = OFF", "PRAGMA ignore_check_constraints = ON", *statements]))

    def undo(self) -> None:
        self.world.dispose()
        with closing(sqlite3.connect(self._path)) as live:
            self._saved.backup(live)


class PostgresBooks(Books):
    row = "ctid"

    def __init__(self, url: str) -> None:
        super().__init__(url)
        checks = "SELECT conrelid::regclass, conname FROM pg_constraint WHERE contype = 'c' AND connamespace = 'public'::regnamespace"
        with self.world.admin.begin() as connection:
            for table, name in connection.execute(text(checks)).all():
                connection.execute(text(f"ALTER TABLE {table} DROP CONSTRAINT {name}"))
            connection.execute(text("CREATE SCHEMA saved"))
            for name in self._tables:
                connection.execute(text(f"CREATE TABLE saved.{name} AS TABLE {name}"))

    def plant(self, *statements: str) -> None:
        self._run(statements)

    def undo(self) -> None:
        self._run(
            [f"DELETE FROM {name}" for name in self._tables] + [f"INSERT INTO {name} SELECT * FROM saved.{name}" for name in self._tables]
        )

    def _run(self, statements: Sequence[str]) -> None:
        with self.world.admin.begin() as connection:
            for statement in ("SET LOCAL session_replication_role = replica", *statements):
                connection.exec_driver_sql(statement)


def _fill(world: World) -> None:
    """Do a bit of everything: one invoice of each kind, with taxes, discounts, charges, change, sources, keys and a visit."""
    visit = NewItem("VIS")
    drug = NewItem("AMX", 2333, allowances=((50, "regular"),), charges=((25, "at night"),), source="prescription:1")
    discount = NewAdjustment(charge=False, amount_minor=777, reason="loyal", tax=TaxGroup("S", 1900))
    fee = NewAdjustment(charge=True, amount_minor=100, reason="call-out", tax=TaxGroup("S", 1900))

    world.run(lambda tx: prices.add_service(tx, code="VIS", department="desk", description="Visit", unit_price_e4=44_000_000))
    amx = world.service("AMX", department="shelf", price="30.000333", tax="S 1900")
    world.lot(amx, "1000")
    patient = world.patient()
    provider = world.run(lambda tx: staff.add_provider(tx, name="Dr. Day")).id
    seen = world.run(lambda tx: consultations.open_consultation(tx, patient_id=patient, provider_id=provider)).id

    for at in (JANUARY, FEBRUARY):
        world.run(lambda tx: shifts.open_shift(tx, drawer="front", float_minor=10_000), at=at)
        world.run(lambda tx: shifts.close_shift(tx, counted={50: 199}), at=at)
    world.run(lambda tx: periods.close_period(tx, month="2026-02"))
    world.run(lambda tx: shifts.open_shift(tx, drawer="front", float_minor=10_000))
    paid = world.invoice(
        drug,
        NewItem("AMX", 1667),
        visit,
        patient_id=patient,
        consultation_id=seen,
        adjustments=[discount, fee],
        source="encounter:1",
        key="invoice-1",
    )
    world.pay(paid.id, "card 100", "cash 100", key="pay-1")
    _use_wallet(world, patient)
    world.pay(world.invoice("VIS", "AMX", patient_id=patient).id, "card 40", "wallet 4", scope="desk")
    world.run(lambda tx: cash_moves.pay_in(tx, amount_minor=500, reason="change"))
    world.run(lambda tx: shifts.close_shift(tx, counted={1_000: 19}, other={"card": 9_900}))
    world.pay(world.invoice("VIS", "AMX").id, "card 44", scope="desk")
    world.pay(world.invoice("VIS", "AMX").id, "transfer 10 T-1", scope="ON_ACCOUNT")
    for number in range(3):
        issued = world.invoice("VIS", "VIS", source=f"encounter:issued-{number}").id
        world.run(lambda tx, issued=issued: invoice_steps.issue_invoice(tx, invoice_id=issued))  # type: ignore[misc]
    world.run(lambda tx: invoice_steps.cancel_invoice(tx, invoice_id=issued, reason="wrong patient"))
    world.run(lambda tx: prices.change_price(tx, code="VIS", unit_price_e4=45_000_000))
    draft = world.invoice("VIS", "AMX", adjustments=[discount], source="encounter:draft").id
    world.run(lambda tx: discount_codes.add_code(tx, code="SPRING", reason="spring", uses=5, percent_bp=100))
    world.run(lambda tx: discount_codes.redeem_code(tx, invoice_id=draft, code="SPRING"))


def _use_wallet(world: World, patient: str) -> None:
    client = world.read(lambda tx: patients.read_patient(tx, patient_id=patient).client_id)
    assert client is not None
    world.run(lambda tx: wallets.top_up(tx, client_id=client, tender=Tender("transfer", 2_000, "T-9")))
    world.run(lambda tx: wallets.pay_out(tx, client_id=client, amount_minor=500, method="cash", reason="asked for it"))


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def module_books(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Books]:
    if request.param == "sqlite":
        template: Path = request.getfixturevalue("sqlite_template")
        path = tmp_path_factory.mktemp("books") / "books.sqlite3"
        path.write_bytes(template.read_bytes())
        made: Books = SQLiteBooks(f"sqlite:///{path}")
    else:
        server: PostgresServer = request.getfixturevalue("postgres_server")
        server.create_database("books", template=request.getfixturevalue("postgresql_template"), owner=OWNER)
        made = PostgresBooks(server.url("books", role=APPLICATION))
    yield made
    made.world.dispose()


@pytest.fixture
def books(module_books: Books) -> Iterator[Books]:
    yield module_books
    module_books.undo()


def test_honest_books_are_healthy(books: Books) -> None:
    report = books.world.read(doctor.examine)

    assert report.broken == ()
    assert report.healthy
    assert len(report.checks) > 70


@pytest.mark.parametrize("fault", FAULTS, ids=[f"{number} {rule}" for number, (rule, *_) in enumerate(FAULTS, start=1)])
def test_rule_fires_on_a_planted_fault(books: Books, fault: tuple[str, ...]) -> None:
    rule, *statements = fault
    books.plant(*statements)

    check = books.fired(rule)

    assert check.error is None
    assert check.count > 0
    assert len(check.violations) == min(check.count, doctor.SHOWN)


def _rules(books: Books) -> dict[str, Any]:
    return {rule.name: rule for _, rule in books.world.read(lambda tx: list(doctor.rules_of(tx)))}


def test_rules_about_references_fire_for_every_table(books: Books) -> None:
    rules = [name for name in _rules(books) if name.endswith("_references")]
    silent = []

    for rule in rules:
        table = Base.metadata.tables[rule.removesuffix("_references")]
        names = [each.parent.name for key in table.foreign_key_constraints for each in key.elements if each.parent.name != "clinic_id"]
        for name in names:
            books.plant_in_one_row(table.name, f"{name} = '{NOBODY}'")
            if books.fired(rule).count != 1:
                silent.append(f"{table.name}.{name}")
            books.undo()

    assert len(rules) > 15
    assert silent == []


def test_rules_about_bounds_fire_for_every_number(books: Books) -> None:
    rules = [name for name in _rules(books) if name.endswith("_bounds")]
    silent = []

    for rule in rules:
        table = Base.metadata.tables[rule.removesuffix("_bounds")]
        for name in [each.name for each in table.columns if each.name.endswith(("_minor", "_milli", "_e4", "_bp"))]:
            books.plant_in_one_row(table.name, f"{name} = -{2**62}")
            if books.fired(rule).count != 1:
                silent.append(f"{table.name}.{name}")
            books.undo()

    assert len(rules) > 8
    assert silent == []


def test_every_rule_has_been_made_to_fire(books: Books) -> None:
    made_to_fire = {rule for rule, *_ in FAULTS}

    assert [name for name in _rules(books) if name not in made_to_fire and not name.endswith(("_references", "_bounds"))] == []


def test_violation_names_the_row_and_all_are_counted(books: Books) -> None:
    with books.world.admin.connect() as connection:
        draft = str(connection.execute(text(f"SELECT id FROM invoice WHERE id = {DRAFT}")).scalar_one())
        items = connection.execute(text("SELECT count(*) FROM invoice_item")).scalar_one()
    books.plant(
        f"UPDATE invoice SET status = 'sent' WHERE id = {DRAFT}", "UPDATE invoice_item SET quantity_milli = quantity_milli + 1000000"
    )

    status, arithmetic = books.fired("invoice_status"), books.fired("item_arithmetic")

    (shown,) = status.violations
    assert (shown["id"], shown["status"], shown["should_be"]) == (draft, "sent", "draft")
    assert arithmetic.count == items
    assert all(violation["id"] for violation in arithmetic.violations)


def test_what_is_recomputed_is_found_whatever_the_batch(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "BATCH", 2)
    monkeypatch.setattr(code, "BATCH", 2)
    monkeypatch.setattr(acts, "BATCH", 2)
    healthy = books.world.read(doctor.examine).healthy
    books.plant(
        "UPDATE invoice_item SET description = 'Something else'",
        "UPDATE idempotency_key SET answer = 'null'",
        "UPDATE payment SET receipt_number = 'Z' || receipt_number",
    )

    found = {rule: books.fired(rule).count for rule in ("invoice_recomputed", "document_is_what_its_act_says", "key_answered")}

    assert healthy
    assert found == {"invoice_recomputed": 7, "document_is_what_its_act_says": 4, "key_answered": 2}


def test_number_beyond_64_bits_in_a_sum_is_a_finding_and_keeps_no_rule_from_being_checked(books: Books) -> None:
    most = 2**63 - 1
    books.plant(f"UPDATE invoice_item SET net_minor = {most}", f"UPDATE invoice SET written_off_minor = {most}, credited_minor = {most}")

    report = books.world.read(doctor.examine)

    uncomputable = [check.error for check in report.checks if check.error]
    assert not report.healthy
    assert uncomputable
    assert all("could not be checked" in error for error in uncomputable)
    assert {"invoice_bounds", "invoice_item_bounds"} <= {check.name for check in report.broken if check.count}


def test_only_chooses_checks_and_plugins(books: Books) -> None:
    def names(*only: str) -> list[str]:
        return [check.name for check in books.world.read(lambda tx: doctor.examine(tx, only=only)).checks]

    assert names("invoice_status", "plugins_work") == ["plugins_work", "invoice_status"]
    assert names("shelf") == [
        "shelf_lot_references",
        "shelf_lot_bounds",
        "shelf_move_references",
        "shelf_move_bounds",
        "shelf_tally_references",
    ]
    with pytest.raises(doctor.UnknownCheck):
        names("invoice_status", "invoice_stats")


def test_fast_leaves_out_what_is_recomputed(books: Books) -> None:
    books.plant("UPDATE audit_entry SET data = '{}' WHERE position = 3")

    fast = books.world.read(lambda tx: doctor.examine(tx, fast=True))

    assert fast.healthy
    assert {check.name for check in books.world.read(doctor.examine).checks} - {check.name for check in fast.checks} == {
        "audit_chain",
        "invoice_recomputed",
        "document_is_what_its_act_says",
        "z_report_is_its_count",
        "closed_months_unchanged",
        "key_answered",
    }


def test_since_recomputes_only_what_is_newer(books: Books) -> None:
    books.plant(f"UPDATE invoice_item SET description = 'Something else' WHERE id = {FIRST_ITEM}")
    now = datetime.now(UTC)

    def found(since: datetime) -> bool:
        return not books.world.read(lambda tx: doctor.examine(tx, only=["invoice_recomputed"], since=since)).healthy

    assert found(now - timedelta(hours=1))
    assert not found(now + timedelta(hours=1))
