"""Reports equal the journal to the minor unit, whatever a fortnight has brought; each is asked for days, and by who may."""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, update

from billing import clock
from billing.errors import Refused
from billing.model import Claim, Invoice, InvoiceAdjustment, InvoiceItem, JournalLine, Payer, Payment, new_id
from billing.money import format_amount
from billing.rules.tenders import Tender
from billing.rules.totals import TaxGroup
from billing.services import invoice_steps, reading, receivables, reports, reversals, shifts, staff, statements, wallets
from billing.services.balances import BadRange
from billing.services.patients import UnknownClient
from billing.services.quotation import NewAdjustment, NewItem
from billing.services.reports import BadGrouping
from billing.services.reversals import Returned
from billing.testing.world import World, items_of

BEGAN = datetime(2026, 11, 2, 9, tzinfo=UTC)
FIRST, END = date(2026, 11, 2), date(2026, 11, 16)
HALVES = ((FIRST, date(2026, 11, 9)), (date(2026, 11, 9), END))
CASHIERS = ("lena", "paul")


class Fortnight:
    """Two weeks of random acts in a clinic, its people and days as the seed has it."""

    def __init__(self, world: World, seed: int) -> None:
        self.world, self.random, self.acts = world, random.Random(seed), Counter[str]()
        world.lot(world.service("AMX", department="shelf", price="10.37", tax="S 1900"), "10000")
        world.service("VIS", price="40.00")
        world.service("BLD", price="21.05", tax="S 700")
        for login, role in (("lena", "cashier"), ("paul", "cashier"), ("mia", "manager")):
            world.run(lambda tx, login=login, role=role: staff.add_staff(tx, login=login, name=login.title(), role=role))  # type: ignore[misc]
        self.providers = [world.run(lambda tx, n=name: staff.add_provider(tx, name=n).id) for name in ("Dr. Ines", "Dr. Otto")]  # type: ignore[misc]
        self.patients = [world.patient() for _ in range(4)]
        self.at = BEGAN
        with_shift = dict.fromkeys(CASHIERS, False)
        for day in range(14):
            for login in CASHIERS:
                if with_shift[login]:
                    self.do("close", lambda login=login: self.close(login))  # type: ignore[misc]
                    with_shift[login] = False
                if self.random.random() < 0.5:
                    self.do("open", lambda login=login: self.open(login))  # type: ignore[misc]
                    with_shift[login] = True
            for _ in range(3):
                self.do("sell", self.sell)
                if self.random.random() < 0.4:
                    self.do("wallet", self.wallet)
                if self.random.random() < 0.6:
                    self.do(
                        *self.random.choice([("void", self.void), ("refund", self.refund), ("off", self.write_off), ("gone", self.gone)])
                    )
            self.at = BEGAN + timedelta(days=day + 1)

    def do(self, name: str, act: Callable[[], Any]) -> None:
        """Do one act a few minutes later; one that the rules refuse has not happened."""
        self.at += timedelta(minutes=self.random.randint(1, 20))
        with clock.fixed(self.at):
            try:
                act()
            except Refused:
                name = f"no {name}"
        self.acts[name] += 1

    def open(self, login: str) -> None:
        """Open a shift."""
        self.world.run(lambda tx: shifts.open_shift(tx, drawer=login, float_minor=10_000), actor=login)

    def close(self, login: str) -> None:
        """Close it with a random count."""
        count = {5_000: self.random.randint(0, 9), 1: self.random.randint(0, 99)}
        self.world.run(lambda tx: shifts.close_shift(tx, counted=count), actor=login)

    def sell(self) -> None:
        """Bill some items, with a discount sometimes; pay all, a part or nothing."""
        dice = self.random
        items = [NewItem("VIS", provider_id=dice.choice([*self.providers, None])), *items_of([f"AMX:{dice.randint(1, 4)}", "BLD"])]
        chosen = dice.sample(items, dice.randint(1, 3))
        off = [NewAdjustment(charge=False, amount_minor=dice.randint(1, 900), reason="friend", tax=group_of(chosen[0]))]
        made = self.world.invoice(*chosen, patient_id=dice.choice(self.patients), adjustments=off if dice.random() < 0.4 else [])
        if dice.random() < 0.2:
            self.world.run(lambda tx: invoice_steps.issue_invoice(tx, invoice_id=made.id))
            return
        total = made.total_minor if dice.random() < 0.7 else dice.randint(1, made.total_minor)
        scope = "ALL" if total == made.total_minor else "ON_ACCOUNT"
        euros, by = self.money(total), dice.choice(["cash", "card", "transfer"])
        tenders = [f"{by} {euros}"]
        if by == "cash":
            tenders = [f"cash {self.money(total + dice.choice([0, 137]))}"]
        elif total > 100:
            tenders = [f"card {self.money(total - 100)}", f"{by} 1.00"]
        self.world.pay(made.id, *tenders, scope=scope, actor=dice.choice(CASHIERS))

    def wallet(self) -> None:
        """Leave money with the clinic, and pay a visit out of it."""
        made = self.world.invoice("VIS", patient_id=self.random.choice(self.patients))
        client = self.world.read(lambda tx: reading.read_invoice(tx, invoice=made.id)).invoice.client_id
        tender = Tender(self.random.choice(["cash", "card"]), self.random.randint(4_000, 6_000))
        login = self.random.choice(CASHIERS)
        self.world.run(lambda tx: wallets.top_up(tx, client_id=client, tender=tender), actor=login)
        self.world.pay(made.id, "wallet 30", "card 10", actor=login)
        if self.random.random() < 0.5:
            self.world.run(
                lambda tx: wallets.pay_out(tx, client_id=client, amount_minor=700, method="cash", reason="wants it"), actor="mia"
            )

    def void(self) -> None:
        """Void the latest payment."""
        wanted = self.one(select(Payment.id).order_by(Payment.id.desc()).limit(1))
        self.world.run(lambda tx: reversals.void_payment(tx, payment_id=wanted, reason="mistake"), actor="mia")

    def refund(self) -> None:
        """Refund a part of an item that is paid."""
        where = InvoiceItem.payment_id.is_not(None), InvoiceItem.credited_milli < InvoiceItem.quantity_milli
        rows = self.rows(select(InvoiceItem.id, InvoiceItem.invoice_id).where(*where).order_by(InvoiceItem.id))
        if rows:
            item, invoice = self.random.choice(rows)
            to = self.random.choice(["cash", "wallet"])
            returned = Returned(item, self.random.choice([500, None]))
            self.world.run(lambda tx: reversals.refund_items(tx, invoice_id=invoice, items=[returned], reason="no", to=to), actor="mia")

    def write_off(self) -> None:
        """Write an open invoice off."""
        if found := self.open_invoices(["partial"]):
            wanted = self.random.choice(found)
            self.world.run(lambda tx: reversals.write_off(tx, invoice_id=wanted, reason="lost"), actor="mia")

    def gone(self) -> None:
        """Cancel an invoice of which nothing is paid."""
        if found := self.open_invoices(["sent"]):
            wanted = self.random.choice(found)
            self.world.run(lambda tx: invoice_steps.cancel_invoice(tx, invoice_id=wanted, reason="wrong"))

    def open_invoices(self, statuses: Sequence[str]) -> list[str]:
        """Return the invoices of these statuses."""
        return [row[0] for row in self.rows(select(Invoice.id).where(Invoice.status.in_(statuses)).order_by(Invoice.id))]

    def money(self, minor: int) -> str:
        """Write an amount."""
        return self.world.read(lambda tx: format_amount(minor, tx.clinic.currency))

    def rows(self, statement: Any) -> list[Any]:
        """Return the rows of a statement."""
        return self.world.read(lambda tx: list(tx.session.execute(statement).all()))

    def one(self, statement: Any) -> Any:
        """Return the only value of a statement."""
        return self.rows(statement)[0][0]

    def booked(self, first: date = FIRST, end: date = END, **where: Any) -> Counter[str]:
        """Return sums of the journal's lines on some days by account: those of these kinds."""
        statement = select(JournalLine.account, JournalLine.kind, func.sum(JournalLine.amount_minor))
        statement = statement.where(JournalLine.business_date >= first, JournalLine.business_date < end)
        if kinds := where.get("kinds"):
            statement = statement.where(JournalLine.kind.in_(kinds))
        found = Counter[str]()
        for account, _, amount in self.rows(statement.group_by(JournalLine.account, JournalLine.kind)):
            found[account] += int(amount)
        return found

    def balances(self, account: str) -> Counter[str]:
        """Return what stands on an account by client."""
        lines = select(JournalLine.client_id, func.sum(JournalLine.amount_minor)).where(JournalLine.account == account)
        return Counter({client: int(amount) for client, amount in self.rows(lines.group_by(JournalLine.client_id))})

    def report(self, verb: Callable[..., Any], days: tuple[date, date] = (FIRST, END), **options: Any) -> Any:
        """Return a report of some days."""
        return self.world.read(lambda tx: verb(tx, from_date=days[0], until_date=days[1], **options))


def group_of(item: NewItem) -> TaxGroup:
    return {"VIS": TaxGroup("O", 0), "AMX": TaxGroup("S", 1900), "BLD": TaxGroup("S", 700)}[item.code or ""]


MONEY = ("payment", "void", "refund", "top_up", "pay_out")


def is_money(account: str) -> bool:
    return account in {"cash", "wallet"} or account.startswith("method:")


@pytest.fixture(params=[1, 2])
def weeks(world: World, request: pytest.FixtureRequest) -> Fortnight:
    made = Fortnight(world, request.param)
    assert all(made.acts[name] for name in ("sell", "wallet", "open", "close", "void", "refund", "off", "gone")), made.acts
    return made


def test_reports_of_a_fortnight_equal_the_journal(weeks: Fortnight) -> None:
    for days in ((FIRST, END), *HALVES):
        agrees_on_takings(weeks, days)
        agrees_on_tax(weeks, days)
        agrees_on_reversals(weeks, days)
        agrees_on_discounts(weeks, days)
        agrees_on_shifts(weeks, days)


def test_receivables_and_statements_after_a_fortnight_equal_the_journal(weeks: Fortnight) -> None:
    owed = weeks.balances("receivable:client")
    wallets = weeks.balances("wallet")
    aged = weeks.world.read(receivables.aged_receivables)

    assert {each.id: each.total_minor for each in aged} == {client: amount for client, amount in owed.items() if amount}
    for client in owed:
        whole = weeks.world.read(lambda tx, client=client: statements.client_statement(tx, client_id=client))  # type: ignore[misc]
        first, second = (weeks.report(statements.client_statement, half, client_id=client) for half in HALVES)
        assert (whole.opening_owed_minor, whole.opening_wallet_minor) == (0, 0)
        assert (whole.closing_owed_minor, whole.closing_wallet_minor) == (owed[client], -wallets[client])
        assert (first.closing_owed_minor, first.closing_wallet_minor) == (second.opening_owed_minor, second.opening_wallet_minor)
        assert (*first.lines, *second.lines) == whole.lines
        assert sum(each.owed_change_minor for each in whole.lines) == whole.closing_owed_minor
        assert [each.owed_minor for each in whole.lines][-1:] == [whole.closing_owed_minor]
        assert all(each.wallet_minor >= 0 for each in whole.lines)


def agrees_on_takings(weeks: Fortnight, days: tuple[date, date]) -> None:
    booked = {account: amount for account, amount in weeks.booked(*days, kinds=MONEY).items() if is_money(account)}
    # What moves between a drawer and a wallet is taken or given back; that it stands in the wallet then is no other money.
    booked["wallet"] = weeks.booked(*days, kinds=("payment", "void", "refund"))["wallet"]
    by_method = weeks.report(reports.takings, days, by="method")
    assert {each.key if each.key in {"cash", "wallet"} else f"method:{each.key}": each.net_minor for each in by_method} == booked
    for by in ("day", "department", "cashier", "provider"):
        rows = weeks.report(reports.takings, days, by=by)
        assert sum(each.net_minor for each in rows) == sum(booked.values()), by
    for row in weeks.report(reports.takings, days, by="day"):
        day = date.fromisoformat(row.key)
        of_day = weeks.booked(day, day + timedelta(days=1), kinds=("payment",))
        left = weeks.booked(day, day + timedelta(days=1), kinds=("top_up",))
        received = sum(amount for account, amount in of_day.items() if is_money(account))
        assert row.received_minor == received + sum(left.values()) - left["wallet"] - left["rounding"]
        assert row.net_minor == row.received_minor - row.returned_minor


def agrees_on_tax(weeks: Fortnight, days: tuple[date, date]) -> None:
    booked = weeks.booked(*days)
    rows = weeks.report(reports.tax, days)
    taxes = {account: -amount for account, amount in booked.items() if account.startswith("tax:") and amount}
    assert {f"tax:{each.category}:{each.rate_bp}": each.tax_minor for each in rows if each.tax_minor} == taxes
    earned = -sum(amount for account, amount in booked.items() if account.startswith(("revenue:", "discount:")))
    assert sum(each.taxable_minor for each in rows) == earned


def agrees_on_reversals(weeks: Fortnight, days: tuple[date, date]) -> None:
    rows = weeks.report(reports.voids, days)
    clients = "receivable:client"
    voided, refunded = weeks.booked(*days, kinds=["void"])[clients], weeks.booked(*days, kinds=["refund"])[clients]
    assert sum(each.refunded_minor for each in rows if each.kind == "void") == voided
    assert sum(each.refunded_minor for each in rows if each.kind != "void") == refunded
    assert sum(each.credited_minor for each in rows) == -weeks.booked(*days, kinds=["credit"])[clients]
    assert sum(each.written_off_minor for each in rows) == weeks.booked(*days)["write_off"]
    assert sum(each.rounding_minor for each in rows) == weeks.booked(*days, kinds=["void", "refund"])["rounding"]
    assert {each.person for each in rows} == {"Mia"}


def agrees_on_discounts(weeks: Fortnight, days: tuple[date, date]) -> None:
    booked = weeks.booked(*days, kinds=["issue"])
    rows = weeks.report(reports.discounts, days)
    assert sum(each.discount_minor for each in rows) == sum(amount for account, amount in booked.items() if account.startswith("discount:"))


def agrees_on_shifts(weeks: Fortnight, days: tuple[date, date]) -> None:
    rows = weeks.report(reports.shift_differences, days)
    assert sum(each.difference_minor for each in rows) == -weeks.booked(*days)["shift_difference"]
    assert all(each.counted_minor - each.expected_minor == each.difference_minor for each in rows)
    assert {each.cashier for each in rows} <= {"Lena", "Paul"}


# --- what each says ---


@pytest.fixture
def shop(world: World) -> World:
    world.lot(world.service("AMX", department="shelf", price="10.00", tax="S 1900"), "100")
    world.service("VIS", price="40.00")
    return world


def test_takings_are_by_day_department_method_cashier_and_provider(shop: World, hire: Callable[[str], str]) -> None:
    provider = shop.run(lambda tx: staff.add_provider(tx, name="Dr. Ines").id)
    cashier = hire("cashier")
    with clock.fixed(BEGAN):
        shop.pay(shop.invoice(NewItem("VIS", provider_id=provider), "AMX").id, "card 20", "cash 40", actor=cashier)
    with clock.fixed(BEGAN + timedelta(days=1)):
        item_id, invoice = _sold(shop, cashier)
        shop.run(lambda tx: reversals.refund_items(tx, invoice_id=invoice, items=[Returned(item_id)], reason="no"))

    def by(what: str) -> dict[str, tuple[int, int]]:
        found = shop.read(lambda tx: reports.takings(tx, by=what))
        return {each.name: (each.received_minor, each.returned_minor) for each in found}

    assert by("day") == {"2026-11-02": (5_190, 0), "2026-11-03": (1_190, 1_190)}
    assert by("department") == {"Desk": (4_000, 0), "Shelf": (2_380, 1_190)}
    assert by("method") == {"card": (3_190, 1_190), "cash": (3_190, 0)}
    assert by("cashier") == {"The cashier": (6_380, 0), "Local operator": (0, 1_190)}
    assert by("provider") == {"Dr. Ines": (4_000, 0), "": (2_380, 1_190)}


def _sold(shop: World, cashier: str) -> tuple[str, str]:
    invoice = shop.invoice("AMX").id
    shop.pay(invoice, "card 11.90", actor=cashier)
    return shop.read(lambda tx: reading.read_invoice(tx, invoice=invoice)).items[0].id, invoice


def test_discounts_name_who_gave_them_and_who_approved(shop: World, hire: Callable[[str], str]) -> None:
    manager = hire("manager")
    off = NewAdjustment(charge=False, amount_minor=300, reason="friend")
    made = shop.invoice("VIS", adjustments=[off])
    giver = shop.read(lambda tx: tx.actor.id, actor=manager)
    with shop.admin.begin() as connection:
        connection.execute(update(InvoiceAdjustment.__table__).values(given_by=giver, approved_by=giver))  # type: ignore[arg-type]
    assert shop.read(reports.discounts) == []

    shop.run(lambda tx: invoice_steps.issue_invoice(tx, invoice_id=made.id))

    (row,) = shop.read(reports.discounts)
    assert (row.person, row.approver, row.code, row.invoices, row.discount_minor) == ("The manager", "The manager", "", 1, 300)


@pytest.mark.parametrize("verb", [reports.takings, reports.tax, reports.voids, reports.discounts, reports.shift_differences])
def test_days_and_groups_that_cannot_be_are_refused(sqlite_world: World, verb: Callable[..., Any]) -> None:
    with pytest.raises(BadRange):
        sqlite_world.read(lambda tx: verb(tx, from_date=END, until_date=FIRST))
    with pytest.raises(BadGrouping, match="choose from day, department"):
        sqlite_world.read(lambda tx: reports.takings(tx, by="weather"))
    assert sqlite_world.read(verb) == []


# --- what is owed, and a client's account ---


def test_receivables_are_aged_by_the_days_since_they_were_due(shop: World) -> None:
    patients = [shop.patient() for _ in range(2)]
    for days, patient in ((0, 0), (14, 0), (15, 0), (44, 0), (45, 1), (104, 0), (105, 1)):
        with clock.fixed(BEGAN - timedelta(days=days)):
            made = shop.invoice("VIS", patient_id=patients[patient])
            shop.run(lambda tx, made=made: invoice_steps.issue_invoice(tx, invoice_id=made.id))  # type: ignore[misc]
    shop.pay(shop.invoice("VIS", patient_id=patients[0]).id, "card 40")

    with clock.fixed(BEGAN):
        rows = shop.read(receivables.aged_receivables)

    assert [row.name for row in rows] == ["Ada Client"] * 2
    assert [
        (row.not_due_minor, row.days_1_30_minor, row.days_31_60_minor, row.days_61_90_minor, row.over_90_minor, row.total_minor)
        for row in rows
    ] == [(8_000, 8_000, 0, 4_000, 0, 20_000), (0, 0, 4_000, 0, 4_000, 8_000)]


def test_receivables_of_payers_are_their_open_claims(shop: World) -> None:
    with clock.fixed(BEGAN):
        made = [shop.invoice("VIS") for _ in range(3)]
        payer = shop.run(lambda tx: _claims(tx, [each.id for each in made]))

    with clock.fixed(BEGAN):
        (row,) = shop.read(lambda tx: receivables.aged_receivables(tx, by="payer"))

    assert (row.id, row.name, row.total_minor) == (payer, "Allianz", 2 * (3_000 - 500 - 200))
    assert (row.not_due_minor, row.days_1_30_minor, row.days_31_60_minor) == (2_300, 0, 2_300)
    with pytest.raises(BadGrouping, match="choose from client, payer"):
        shop.read(lambda tx: receivables.aged_receivables(tx, by="moon"))


def _claims(tx: Any, invoice_ids: list[str]) -> str:
    payer = Payer(id=new_id(), code="ALL", name="Allianz", kind="insurer", active=True, source=None, created_at=tx.at)
    tx.session.add(payer)
    tx.session.flush()
    for days, status, invoice_id in zip((0, 40, 3), ("open", "part_paid", "paid"), invoice_ids, strict=True):
        invoice = tx.session.scalars(select(Invoice).where(Invoice.id == invoice_id)).one()
        row = {"paid_minor": 500, "rejected_minor": 200, "amount_minor": 3_000, "status": status, "reference": "", "submitted_at": None}
        told = {"payer_id": payer.id, "coverage_id": None, "client_id": invoice.client_id, "created_at": tx.at}
        tx.session.add(Claim(id=new_id(), invoice_id=invoice_id, issue_date=tx.business_date - timedelta(days=days), **row, **told))
    return payer.id


def test_statement_tells_each_act_with_its_document(shop: World) -> None:
    patient = shop.patient()
    with clock.fixed(BEGAN):
        made = shop.invoice("VIS", "AMX", patient_id=patient)
        shop.pay(made.id, "card 51.90")
    item = next(each for each in shop.read(lambda tx: reading.read_invoice(tx, invoice=made.id)).items if each.code == "AMX")
    with clock.fixed(BEGAN + timedelta(days=1)):
        shop.run(lambda tx: reversals.refund_items(tx, invoice_id=made.id, items=[Returned(item.id)], reason="no", to="wallet"))
    client = shop.read(lambda tx: reading.read_invoice(tx, invoice=made.id)).invoice.client_id

    whole = shop.read(lambda tx: statements.client_statement(tx, client_id=client))
    later = shop.read(lambda tx: statements.client_statement(tx, client_id=client, from_date=FIRST + timedelta(days=1)))

    told = [(each.kind, each.document, each.owed_change_minor, each.wallet_change_minor, each.owed_minor) for each in whole.lines]
    assert told == [
        ("issue", "INV-2026-00001", 5_190, 0, 5_190),
        ("payment", "R-2026-00001", -5_190, 0, 0),
        ("credit", "CN-2026-00001", -1_190, 0, -1_190),
        ("refund", "CN-2026-00001", 1_190, 1_190, 0),
    ]
    assert (whole.client, whole.closing_owed_minor, whole.closing_wallet_minor) == ("Ada Client", 0, 1_190)
    assert later.lines == whole.lines[2:]
    with pytest.raises(UnknownClient):
        shop.read(lambda tx: statements.client_statement(tx, client_id=new_id()))
