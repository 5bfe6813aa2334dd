"""One payment by hand on sqlite3: the same rows as the service leaves, row by row, with nothing between the code and the driver."""

import hashlib
import json
import sqlite3
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from billing.model import canonical_json, new_id
from billing.model.types import NIL_ID
from billing.rules import chain

ITEM = (
    "SELECT id, department, service_id, code, description, quantity_milli, unit_price_e4, taxable_minor, total_minor, provider_id, "
    "total_minor - credited_minor - payer_minor, payer_minor FROM invoice_item "
    "WHERE clinic_id = ? AND invoice_id = ? AND payment_id IS NULL AND credited_milli < quantity_milli ORDER BY position"
)
ADD_EFFECT = (
    "INSERT INTO effect (clinic_id, id, action, action_id, item_id, plugin, kind, row_key, quantity_milli, data, at) "
    "VALUES (?, ?, 'payment', ?, ?, ?, ?, ?, ?, ?, ?)"
)
ADD_PAYMENT = (
    "INSERT INTO payment (clinic_id, id, invoice_id, scope, currency, due_minor, tendered_minor, change_minor, rounding_minor, applied_minor, "
    "series, receipt_period, receipt_value, receipt_number, taken_at, business_date, taken_by, cashier, shift_id, "
    "amount_due_minor, on_account_minor) VALUES (?, ?, ?, 'ALL', ?, ?, ?, 0, 0, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0)"
)
ADD_LINE = (
    "INSERT INTO journal_line (clinic_id, action_id, kind, position, business_date, at, account, amount_minor, invoice_id, client_id, shift_id, "
    "actor_id) VALUES (?, ?, 'payment', ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
ADD_TAKINGS = (
    "INSERT INTO takings (clinic_id, business_date, cashier_id, kind, department, provider_id, method, amount_minor, acts) "
    "VALUES (?, ?, ?, 'payment', ?, ?, ?, ?, 1) ON CONFLICT (clinic_id, business_date, cashier_id, kind, department, provider_id, method) "
    "DO UPDATE SET amount_minor = amount_minor + excluded.amount_minor, acts = acts + 1"
)
ADD_MOVE = (
    "INSERT INTO pharmacy_move (clinic_id, id, batch_id, quantity_milli, reason, item_id, action_id, business_date, at, actor_id, note) "
    "VALUES (?, ?, ?, ?, 'sale', ?, ?, ?, ?, ?, '')"
)
ADD_RESULT = (
    "INSERT INTO laboratory_result (clinic_id, id, order_id, analyte_id, position, status, unit, flag, range_text, reason) "
    "VALUES (?, ?, ?, ?, ?, 'pending', ?, '', '', '')"
)
PUT_WINDOW = (
    "INSERT INTO consultation_follow_up (clinic_id, patient_id, provider_id, free_from_date, free_through_date, visits_left, unit_price_e4, "
    "item_id, payment_id, closed_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, NULL) ON CONFLICT (clinic_id, patient_id, provider_id) DO UPDATE SET "
    "free_from_date = excluded.free_from_date, free_through_date = excluded.free_through_date, visits_left = excluded.visits_left, "
    "unit_price_e4 = excluded.unit_price_e4, item_id = excluded.item_id, payment_id = excluded.payment_id, closed_at = NULL"
)


def connect(path: str, synchronous: str) -> sqlite3.Connection:
    """Return a connection with what money needs set."""
    connection = sqlite3.connect(path, isolation_level=None, timeout=30, cached_statements=256)
    for pragma in ("journal_mode=WAL", f"synchronous={synchronous}", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")
    return connection


def pay(connection: sqlite3.Connection, *, clinic: str, login: str, invoice: str, key: str, method: str, amount: int) -> None:
    """Pay an invoice whole, by one tender that is exactly what is due."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        _Payment(connection, clinic, login).take(invoice, key, method, amount)
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


class _Payment:
    """One payment on an open transaction."""

    def __init__(self, connection: sqlite3.Connection, clinic: str, login: str) -> None:
        self.run, self.many, self.clinic = connection.execute, connection.executemany, clinic
        self.now = datetime.now(UTC)
        self.at, self.id = self.now.isoformat(timespec="microseconds"), new_id()
        self.actor, self.cashier, role = self.one(
            "SELECT s.id, s.name, m.role FROM staff s JOIN membership m ON m.staff_id = s.id "
            "WHERE m.clinic_id = ? AND s.login = ? AND s.active AND m.active",
            login,
        )
        if role not in {"cashier", "manager"}:
            raise PermissionError(login)
        self.currency, zone = self.one("SELECT currency, time_zone FROM clinic WHERE clinic_id = ?")
        self.day: date = self.now.astimezone(ZoneInfo(zone)).date()
        shift = self.one("SELECT id FROM shift WHERE clinic_id = ? AND cashier_id = ? AND closed_at IS NULL", self.actor)
        self.shift = shift[0] if shift else None
        self.effects: list[tuple[Any, ...]] = []

    def one(self, text: str, *values: Any) -> Any:
        """Return the only row of a query about the clinic."""
        return self.run(text, (self.clinic, *values)).fetchone()

    def take(self, invoice: str, key: str, method: str, amount: int) -> None:
        """Do all of it."""
        if not self._claim(key, invoice, method, amount):
            return
        columns = "status, total_minor - payer_minor - amount_paid_minor - written_off_minor - credited_minor, amount_paid_minor, patient_id, client_id"
        status, due, paid, patient, client = self.one(f"SELECT {columns} FROM invoice WHERE clinic_id = ? AND id = ?", invoice)
        items = self.run(ITEM, (self.clinic, invoice)).fetchall()
        if status not in {"sent", "partial"} or not items or min(due, sum(item[10] for item in items)) != amount:
            raise ValueError("already paid, or underpaid")
        number = self._write_payment(invoice, method, amount)
        windows = self._consultation([item for item in items if item[1] == "consultation"], patient)
        self._laboratory([item for item in items if item[1] == "laboratory"], patient)
        self._pharmacy([item for item in items if item[1] == "pharmacy"])
        ids = [item[0] for item in items]
        self.many(
            "UPDATE invoice_item SET payment_id = ?, paid_at = ? WHERE clinic_id = ? AND id = ?",
            [(self.id, self.at, self.clinic, each) for each in ids],
        )
        self.many(
            "INSERT INTO payment_item VALUES (?, ?, ?, ?, ?)", [(self.clinic, self.id, item[0], item[10], item[11]) for item in items]
        )
        self.many(ADD_EFFECT, self.effects)
        self.many(PUT_WINDOW, windows)
        self.run(
            "UPDATE invoice SET amount_paid_minor = amount_paid_minor + ?, status = 'paid' WHERE clinic_id = ? AND id = ?",
            (amount, self.clinic, invoice),
        )
        self._book(invoice, client, method, amount, items)
        self._tell(invoice, amount)
        self._answer(key, invoice, amount, paid + amount, items)
        self._chain(invoice, amount, len(items), number)

    def _claim(self, key: str, invoice: str, method: str, amount: int) -> bool:
        tender = {"amount_minor": amount, "method": method, "reference": None}
        request: dict[str, Any] = {
            "applied_minor": None,
            "given": {},
            "invoice": invoice,
            "scope": "ALL",
            "series": None,
            "tenders": [tender],
        }
        said = hashlib.sha256(canonical_json(["payment.take", request]).encode("ascii")).hexdigest()
        text = "INSERT INTO idempotency_key VALUES (?, ?, ?, 'payment.take', ?, 'null', ?) ON CONFLICT DO NOTHING"
        if self.run(text, (self.clinic, self.actor, key, said, self.at)).rowcount == 1:
            return True
        (before,) = self.one("SELECT request_hash FROM idempotency_key WHERE clinic_id = ? AND actor_id = ? AND key = ?", self.actor, key)
        if before != said:
            raise ValueError("key reused")
        return False

    def _write_payment(self, invoice: str, method: str, amount: int) -> int:
        series, shape = self.one("SELECT series, format FROM number_series WHERE clinic_id = ? AND kind = 'receipt' AND standard")
        period = f"{self.day:%Y}"
        (number,) = self.one(
            "INSERT INTO number_counter VALUES (?, ?, ?, 1) ON CONFLICT (clinic_id, series, period) DO UPDATE SET "
            "latest_value = latest_value + 1 RETURNING latest_value",
            series,
            period,
        )
        printed = shape.format(year=period, number=number)
        self.shape = shape.replace("{year}", period)
        amounts = (self.currency, amount, amount, amount)
        who = (self.at, self.day.isoformat(), self.actor, self.cashier, self.shift)
        self.run(ADD_PAYMENT, (self.clinic, self.id, invoice, *amounts, series, period, number, printed, *who))
        self.run("INSERT INTO tender VALUES (?, ?, ?, 1, ?, ?, NULL)", (self.clinic, new_id(), self.id, method, amount))
        return int(number)

    def _consultation(self, items: Sequence[Any], patient: str) -> list[tuple[Any, ...]]:
        windows = []
        for item, _, service, _, _, quantity, price, taxable, _, provider, *_ in items:
            visit = self.one("SELECT follow_up FROM consultation_visit WHERE clinic_id = ? AND service_id = ?", service)
            terms = "share_bp, follow_up_days, follow_up_price_e4, follow_up_visits FROM consultation_terms"
            agreed = self.one(
                f"SELECT {terms} WHERE clinic_id = ? AND (provider_id IS NULL OR provider_id = ?) ORDER BY provider_id IS NULL LIMIT 1",
                provider,
            )
            window = self.one(
                "SELECT free_from_date FROM consultation_follow_up WHERE clinic_id = ? AND patient_id = ? AND provider_id = ? AND closed_at IS NULL",
                patient,
                provider,
            )
            share = (taxable * agreed[0] * 2 + 10_000) // 20_000 if agreed and provider else 0
            if share:
                columns = "(clinic_id, id, provider_id, item_id, action_id, amount_minor, at, business_date)"
                values = (self.clinic, new_id(), provider, item, self.id, share, self.at, self.day.isoformat())
                self.run(f"INSERT INTO consultation_share {columns} VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)
            kind = "visit.paid" if visit else "procedure.paid"
            self._effect(item, "consultation", kind, provider or "", quantity, {"share_minor": share})
            opens = visit and visit[0] and agreed and agreed[1] and taxable > 0 and price > agreed[2]
            if opens and not (window and window[0] > self.day.isoformat()):
                through = self.day + timedelta(days=agreed[1])
                days = (self.day.isoformat(), through.isoformat())
                windows.append((self.clinic, patient, provider, *days, agreed[3], agreed[2], item, self.id))
        return windows

    def _laboratory(self, items: Sequence[Any], patient: str) -> None:
        for item, _, service, _, _, quantity, *_ in items:
            panel = self.run(
                "SELECT t.id, m.analyte_id, m.position, a.unit FROM laboratory_test t "
                "JOIN laboratory_panel_member m ON m.clinic_id = t.clinic_id AND m.test_id = t.id "
                "JOIN laboratory_analyte a ON a.clinic_id = m.clinic_id AND a.id = m.analyte_id "
                "WHERE t.clinic_id = ? AND t.service_id = ? AND t.active ORDER BY m.position",
                (self.clinic, service),
            ).fetchall()
            if not panel or quantity != 1000:
                raise ValueError("no such test")
            order = new_id()
            columns = "(clinic_id, id, item_id, patient_id, test_id, status, priority, ordered_at)"
            values = (self.clinic, order, item, patient, panel[0][0], self.at)
            self.run(f"INSERT INTO laboratory_order {columns} VALUES (?, ?, ?, ?, ?, 'ordered', 'routine', ?)", values)
            self.many(ADD_RESULT, [(self.clinic, new_id(), order, analyte, place, unit) for _, analyte, place, unit in panel])
            self._effect(item, "laboratory", "lab.ordered", order, quantity, {})

    def _pharmacy(self, items: Sequence[Any]) -> None:
        for item, _, service, _, _, quantity, *_ in items:
            left = quantity
            batches = self.run(
                "SELECT id, on_hand_milli FROM pharmacy_batch WHERE clinic_id = ? AND service_id = ? AND on_hand_milli > 0 AND NOT blocked "
                "AND expires_on >= ? ORDER BY expires_on, id",
                (self.clinic, service, self.day.isoformat()),
            ).fetchall()
            for batch, on_hand in batches:
                taken = min(left, on_hand)
                text = "UPDATE pharmacy_batch SET on_hand_milli = on_hand_milli - ? WHERE clinic_id = ? AND id = ?"
                self.run(text, (taken, self.clinic, batch))
                said = (-taken, item, self.id, self.day.isoformat(), self.at, self.actor)
                self.run(ADD_MOVE, (self.clinic, new_id(), batch, *said))
                self._effect(item, "pharmacy", "stock.dispensed", batch, taken, {})
                left -= taken
                if not left:
                    break
            if left:
                raise ValueError("out of stock")
            self.run(
                "INSERT INTO pharmacy_reservation (clinic_id, item_id, service_id, quantity_milli, status, changed_at) "
                "VALUES (?, ?, ?, ?, 'dispensed', ?) ON CONFLICT (clinic_id, item_id) DO UPDATE SET service_id = excluded.service_id, "
                "quantity_milli = excluded.quantity_milli, status = excluded.status, changed_at = excluded.changed_at",
                (self.clinic, item, service, quantity, self.at),
            )

    def _effect(self, item: str, plugin: str, kind: str, row: str, quantity: int, data: dict[str, Any]) -> None:
        self.effects.append((self.clinic, new_id(), self.id, item, plugin, kind, row, quantity, canonical_json(data), self.at))

    def _book(self, invoice: str, client: str, method: str, amount: int, items: Sequence[Any]) -> None:
        if self.shift is not None:
            self.run(
                "UPDATE shift SET latest_at = ? WHERE clinic_id = ? AND id = ? AND closed_at IS NULL", (self.at, self.clinic, self.shift)
            )
        day = self.day.isoformat()
        accounts = (
            (f"method:{method}" if method != "cash" else method, amount, None, self.shift),
            ("receivable:client", -amount, client, None),
        )
        self.many(
            ADD_LINE,
            [
                (self.clinic, self.id, place, day, self.at, account, minor, invoice, whose, shift, self.actor)
                for place, (account, minor, whose, shift) in enumerate(accounts, start=1)
            ],
        )
        cells: dict[tuple[str, str], int] = {}
        for item in items:
            cell = item[1], item[9] or NIL_ID
            cells[cell] = cells.get(cell, 0) + item[10]
        self.many(ADD_TAKINGS, [(self.clinic, day, self.actor, *cell, method, minor) for cell, minor in cells.items() if minor])

    def _tell(self, invoice: str, amount: int) -> None:
        data = canonical_json({"applied_minor": amount, "invoice_id": invoice, "scope": "ALL", "status": "paid"})
        columns = "(clinic_id, id, topic, subject_id, data, at)"
        self.run(f"INSERT INTO event {columns} VALUES (?, ?, 'payment.taken', ?, ?, ?)", (self.clinic, new_id(), self.id, data, self.at))

    def _answer(self, key: str, invoice: str, amount: int, paid: int, items: Sequence[Any]) -> None:
        shown = [{"id": item[0], "department": item[1], "code": item[3], "description": item[4], "total_minor": item[8]} for item in items]
        amounts = {"due_minor": amount, "tendered_minor": amount, "applied_minor": amount, "amount_paid_minor": paid}
        nothing = dict.fromkeys(("change_minor", "rounding_minor", "amount_due_minor", "on_account_minor"), 0)
        said = {"id": self.id, "invoice_id": invoice, "scope": "ALL", "currency": self.currency, "items": shown, "status": "paid"}
        when = {"taken_at": self.at, "business_date": self.day.isoformat()}
        self.run(
            "UPDATE idempotency_key SET answer = ? WHERE clinic_id = ? AND actor_id = ? AND key = ?",
            (json.dumps(said | amounts | nothing | when, sort_keys=True, separators=(",", ":")), self.clinic, self.actor, key),
        )

    def _chain(self, invoice: str, amount: int, items: int, number: int) -> None:
        position, before, closed = self.one("SELECT position, hash, closed_through FROM audit_head WHERE clinic_id = ?")
        if closed is not None and closed >= self.day.isoformat():
            raise ValueError("period closed")
        amounts = {"due_minor": amount, "applied_minor": amount, "amount_due_minor": 0, "on_account_minor": 0}
        data = amounts | {"invoice_id": invoice, "items": items, "number_format": self.shape, "scope": "ALL"}
        content = chain.content(
            clinic_id=self.clinic,
            at=self.now,
            actor_id=self.actor,
            action="payment.taken",
            subject="payment",
            subject_id=self.id,
            data=data,
        )
        latest = chain.link(before, content, number)
        said = (self.actor, "payment.taken", "payment", self.id, canonical_json(data), number, before, latest)
        self.run("INSERT INTO audit_entry VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", (self.clinic, position + 1, self.at, *said))
        self.run(
            "UPDATE audit_head SET position = ?, hash = ?, previous_hash = ? WHERE clinic_id = ?",
            (position + 1, latest, before, self.clinic),
        )
