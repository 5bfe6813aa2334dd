"""A day at the till by commands alone, on SQLite."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

Asked = Callable[..., Any]
Billing = Callable[..., Result]


@pytest.fixture
def patient(asked: Asked, database: str) -> str:
    """Add a dog, its owner, and two services; return the dog's id."""
    owner = asked("client", "add", "--name", "Ms Owner", "--phone", "+49 30 123")
    for code, price in (("WASH", "30.00"), ("CLIP", "12.50")):
        asked("price", "add", "--code", code, "--department", "grooming", "--description", code.title(), "--price", price, "--tax", "19")
    return str(asked("patient", "add", "--name", "Rex", "--species", "Dog", "--client", owner["id"])["id"])


def test_init_can_be_run_again(billing: Billing, empty_sqlite_url: str) -> None:
    first = billing("init", "--database", empty_sqlite_url)
    second = billing("--json", "init", "--database", empty_sqlite_url)

    assert "Made the local operator (operator)." in first.stdout
    assert json.loads(second.stdout) == {"database": empty_sqlite_url, "upgraded": [], "operator_made": False}


def test_database_status_and_upgrade(billing: Billing, asked: Asked, database: str) -> None:
    assert [(each["lineage"], each["up_to_date"]) for each in asked("db", "status")] == [("core", True)]
    assert billing("db", "upgrade").stdout == "Everything is up to date.\n"


def test_clinic_is_shown_changed_and_given_a_policy(billing: Billing, asked: Asked, database: str) -> None:
    billing("clinic", "set", "--name", "North Vets", "--payment-days", "30")

    assert asked("clinic", "policy", "numbers_at=issue")["numbers_at"] == "issue"
    shown = asked("clinic", "show")
    assert (shown["name"], shown["payment_days"], shown["policy"]["numbers_at"]) == ("North Vets", 30, "issue")
    assert [each["code"] for each in asked("clinic", "departments")] == ["grooming"]
    assert billing("clinic", "policy", "numbers_at=never").exit_code == 2


def test_staff_come_change_and_go(billing: Billing, asked: Asked, database: str) -> None:
    asked("staff", "add", "--login", "ann", "--name", "Ann", "--role", "cashier")
    asked("staff", "provider", "add", "--name", "Dr. Vet")
    asked("staff", "role", "ann", "manager")
    asked("staff", "deactivate", "ann")

    members = {each["name"]: (each["login"], each["role"], each["active"]) for each in asked("staff", "list", "--all")}

    assert members == {"Ann": ("ann", "manager", False), "Dr. Vet": (None, "clinician", True)}


def test_prices_go_out_and_come_back(billing: Billing, asked: Asked, patient: str, tmp_path: Path) -> None:
    file = tmp_path / "prices.csv"
    billing("price", "export", "--out", str(file))
    file.write_text(file.read_text().replace("30.00", "31.00"))

    imported = asked("price", "import", str(file))

    assert imported == {"new": 0, "changed": 1, "same": 1}
    assert [each["unit_price"] for each in asked("price", "history", "WASH")] == ["30.00", "31.00"]
    assert [(each["code"], each["unit_price"]) for each in asked("price", "list")] == [("CLIP", "12.50"), ("WASH", "31.00")]


def test_visit_is_planned_opened_and_closed(asked: Asked, patient: str) -> None:
    asked("staff", "provider", "add", "--name", "Dr. Vet")
    planned = asked("consultation", "plan", "--patient", patient, "--provider", "Dr. Vet", "--at", "2030-06-01T09:30")

    opened = asked("consultation", "open", planned["id"])
    closed = asked("consultation", "close", planned["id"])

    assert planned["planned_at"] == "2030-06-01T07:30:00+00:00"
    assert (opened["status"], closed["status"]) == ("open", "closed")
    assert [each["id"] for each in asked("consultation", "list", "--status", "closed")] == [planned["id"]]


def test_series_is_added_and_used(asked: Asked, patient: str) -> None:
    asked("series", "add", "till", "--kind", "invoice", "--format", "T{number:04}", "--reset", "never", "--standard")

    made = asked("invoice", "create", "--patient", patient, "--item", "WASH")

    assert made["number"] == "T0001"
    assert {each["series"]: each["next_number"] for each in asked("series", "list")}["till"] == "T0002"


def test_invoice_is_previewed_created_edited_issued_and_paid(billing: Billing, asked: Asked, patient: str) -> None:
    preview = asked("invoice", "preview", "--patient", patient, "--item", "WASH:2", "--discount", "5.00:friend")
    made = asked(
        "invoice", "create", "--patient", patient, "--item", "WASH:2", "--discount", "5.00:friend", "--expected-total", preview["total"]
    )
    edited = asked("invoice", "edit", made["number"], "--item", "WASH", "--item", "CLIP", "--note", "Be gentle")
    issued = asked("invoice", "issue", made["number"])
    due = asked("pay", made["number"], "--dry-run")

    paid = asked("pay", made["number"], "--cash", "50", "--card", "5.00:slip 7", "--key", "k1")
    again = asked("pay", made["number"], "--cash", "50", "--card", "5.00:slip 7", "--key", "k1")

    assert (preview["total"], made["total"], edited["total"], due["due"]) == ("65.45", "65.45", "44.63", "44.63")
    assert (issued["status"], paid["status"], paid["change"], paid["amount_due"]) == ("sent", "paid", "10.37", "0.00")
    assert (again["replayed"], again["receipt_number"]) == (True, paid["receipt_number"])
    receipt = asked("receipt", "show", paid["receipt_number"])
    assert [(each["method"], each["amount"], each["reference"]) for each in receipt["tenders"]] == [
        ("cash", "50.00", None),
        ("card", "5.00", "slip 7"),
    ]
    assert billing("pay", made["number"], "--cash", "50").stderr.endswith("[already_paid]\n")


def test_invoice_is_paid_on_account_and_then_whole(asked: Asked, patient: str) -> None:
    made = asked("invoice", "create", "--patient", patient, "--text", "grooming:Special wash:100:19")

    part = asked("pay", made["id"], "--scope", "on-account", "--cash", "20", "--amount", "15.50")
    rest = asked("pay", made["id"], "--scope", "grooming", "--tender", "transfer=103.50:bank 1")

    assert (part["applied"], part["change"], part["status"], part["items"]) == ("15.50", "4.50", "partial", [])
    assert (rest["applied"], rest["status"], [each["total"] for each in rest["items"]]) == ("103.50", "paid", ["119.00"])


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (["--cash", "1"], "underpaid"),
        (["--card", "5000"], "overpaid"),
        (["--cash", "1e3"], "bad_amount"),
        (["--cash", "NaN"], "bad_amount"),
        (["--cash", "1.001"], "bad_amount"),
        (["--tender", "cowries=5"], "unknown_method"),
        (["--cash", "50", "--scope", "astrology"], "unknown_department"),
        (["--cash", "50", "--amount", "5"], "bad_payment_amount"),
        (["--cash", "50", "--given", "grooming.witness=ann"], "bad_plugin_settings"),
        (["--cash", "50", "--given", "astrology.sign=leo"], "bad_given"),
        (["--cash", "50", "--given", "nonsense"], "bad_option"),
    ],
)
def test_bad_payment_is_refused_and_leaves_nothing(line: list[str], code: str, billing: Billing, asked: Asked, patient: str) -> None:
    made = asked("invoice", "create", "--patient", patient, "--item", "WASH")

    refused = billing("pay", made["number"], *line, "--json")

    assert json.loads(refused.stderr)["error"]["code"] == code
    assert asked("receipt", "list") == []
    assert asked("invoice", "show", made["number"])["amount_paid"] == "0.00"


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (["--item", "NOTHING"], "unknown_service"),
        (["--item", "WASH=-1"], "bad_quantity"),
        (["--item", "WASH=1e9"], "bad_quantity"),
        (["--item", "WASH:99999999999999"], "bad_quantity"),
        (["--text", "astrology:Chart:5"], "department_unavailable"),
        ([], "bad_item_count"),
        (["--item", "WASH", "--expected-total", "1.00"], "total_differs"),
        (["--item", "WASH", "--provider", "Nobody"], "unknown_provider"),
    ],
)
def test_bad_invoice_is_refused_and_leaves_nothing(line: list[str], code: str, billing: Billing, asked: Asked, patient: str) -> None:
    refused = billing("--json", "invoice", "create", "--patient", patient, *line)

    assert json.loads(refused.stderr)["error"]["code"] == code
    assert asked("invoice", "list") == []


def test_another_clinics_invoice_is_answered_like_one_that_does_not_exist(billing: Billing, asked: Asked, patient: str) -> None:
    made = asked("invoice", "create", "--patient", patient, "--item", "WASH")
    billing("clinic", "create", "--code", "south", "--name", "South", "--currency", "KWD", "--time-zone", "Asia/Kuwait")

    there = billing("invoice", "show", made["id"], "--clinic", "south")
    nowhere = billing("invoice", "show", made["id"][:-4] + "0000", "--clinic", "south")

    assert there.exit_code == nowhere.exit_code == 3
    assert there.stderr.replace(made["id"], "ID") == nowhere.stderr.replace(made["id"][:-4] + "0000", "ID")


def test_all_invoices_are_listed_across_pages(asked: Asked, billing: Billing, patient: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("billing.interfaces.cli.units.PAGE", 2)
    for source in ("e1", "e2", "e3", "e4", "e5"):
        asked("invoice", "create", "--patient", patient, "--item", "CLIP", "--source", source)

    everything = asked("invoice", "list", "--clinic", "north", "--all")

    assert [each["source"] for each in everything] == ["e5", "e4", "e3", "e2", "e1"]
    wanted = {"number", "total", "amount_paid", "amount_due", "status", "currency", "source", "created_at", "patient_id"}
    assert wanted <= everything[0].keys()
    assert (everything[0]["total"], everything[0]["amount_due"], everything[0]["status"]) == ("14.88", "14.88", "draft")
    assert len(asked("invoice", "list", "--limit", "3")) == 3
    assert len(billing("invoice", "list", "--all").stdout.splitlines()) == 5 + 3  # a line for each, and a header for each page


def test_list_of_nothing_is_an_empty_array_or_a_sentence(asked: Asked, billing: Billing, database: str) -> None:
    assert asked("invoice", "list") == asked("invoice", "list", "--all") == []
    assert billing("invoice", "list").stdout == billing("invoice", "list", "--all").stdout == "There is nothing to show.\n"


def test_invoice_from_a_file(asked: Asked, patient: str) -> None:
    content = {
        "patient": patient,
        "items": [{"code": "WASH", "quantity": "2", "allowances": [{"amount": "1.00", "reason": "calm dog"}]}],
        "charges": [{"amount": "2.50", "reason": "mud"}],
        "note": "From the kennel",
    }

    made = asked("invoice", "create", "--from", "-", stdin=json.dumps(content))

    shown = asked("invoice", "show", made["number"])
    assert (shown["net"], shown["total"], shown["note"]) == ("61.50", "73.19", "From the kennel")
    assert sorted((each["reason"], each["charge"]) for each in shown["reductions"]) == [("calm dog", False), ("mud", True)]


def test_cancelled_invoice_frees_its_source(billing: Billing, asked: Asked, patient: str) -> None:
    made = asked("invoice", "create", "--patient", patient, "--item", "WASH", "--source", "e1")
    twice = billing("invoice", "create", "--patient", patient, "--item", "WASH", "--source", "e1")

    cancelled = asked("invoice", "cancel", made["number"], "--reason", "ran away")
    again = asked("invoice", "create", "--patient", patient, "--item", "WASH", "--source", "e1")

    assert (twice.exit_code, cancelled["status"]) == (5, "cancelled")
    assert again["number"] != made["number"]


def test_paper_comes_out_and_copies_are_marked(billing: Billing, asked: Asked, patient: str, tmp_path: Path) -> None:
    made = asked("invoice", "create", "--patient", patient, "--item", "WASH")
    paid = asked("pay", made["number"], "--cash", "40")

    text = billing("receipt", "print", paid["receipt_number"]).stdout
    copy = billing("receipt", "print", paid["receipt_number"]).stdout
    billing("invoice", "print", made["number"], "--form", "a4", "--out", str(tmp_path / "invoice.html"))

    assert paid["receipt_number"] in text
    assert ("COPY 1" in text, "COPY 1" in copy) == (False, True)
    assert (tmp_path / "invoice.html").read_text().startswith("<!")


@pytest.mark.parametrize("what", ["prices", "invoices", "items", "payments", "tenders", "audit"])
def test_lists_are_exported(what: str, billing: Billing, asked: Asked, patient: str, tmp_path: Path) -> None:
    made = asked("invoice", "create", "--patient", patient, "--item", "WASH")
    asked("pay", made["number"], "--cash", "40")
    file = tmp_path / f"{what}.csv"

    told = billing("export", what, "--out", str(file))

    rows = list(csv.DictReader(file.read_text().splitlines()))
    assert rows
    assert told.stdout == f"{len(rows)} rows written to {file}.\n"
    assert billing("export", what).stdout.replace("\r\n", "\n") == file.read_bytes().decode().replace("\r\n", "\n")


def test_books_are_well_and_come_back_from_a_backup(billing: Billing, asked: Asked, patient: str, tmp_path: Path) -> None:
    made = asked("invoice", "create", "--patient", patient, "--item", "WASH")
    asked("pay", made["number"], "--cash", "40")
    file, elsewhere = tmp_path / "all.backup", f"sqlite:///{tmp_path / 'elsewhere.sqlite3'}"

    asked("backup", str(file))
    asked("restore", str(file), "--database", elsewhere)

    assert asked("invoice", "list", "--database", elsewhere)[0]["status"] == "paid"
    assert asked("audit", "verify", "--database", elsewhere)["intact"] is True
    assert [each["action"] for each in asked("audit", "list", "--limit", "2")] == ["payment.taken", "invoice.issued"]
    health = asked("doctor", "--database", elsewhere)
    assert health["healthy"] is True
    assert [each["clinic"] for each in health["clinics"]] == ["north"]


def test_doctor_exits_1_when_something_is_wrong(billing: Billing, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BILLING_PLUGINS", "")  # the clinic's plugin is not installed any more

    result = billing("doctor", "--json")

    assert result.exit_code == 1
    (clinic,) = json.loads(result.stdout)["clinics"]
    assert "plugins_work" in [each["name"] for each in clinic["checks"] if not each["passed"]]


def test_disabled_plugin_takes_no_part_and_comes_back(billing: Billing, asked: Asked, patient: str) -> None:
    billing("plugins", "disable", "grooming")
    refused = billing("invoice", "create", "--patient", patient, "--item", "WASH")
    state = asked("plugins")[0]["state"]

    billing("plugins", "enable", "grooming")

    assert (refused.exit_code, state) == (4, "disabled")
    assert billing("invoice", "create", "--patient", patient, "--item", "WASH").exit_code == 0


def test_totals_of_a_file_are_compared(billing: Billing, shared_data: Path) -> None:
    result = billing("totals", str(shared_data / "en16931" / "totals.json"), "--json")

    assert result.exit_code == 0
    assert all(each["ok"] for each in json.loads(result.stdout))


def test_totals_of_something_else_are_an_error(billing: Billing, tmp_path: Path) -> None:
    (tmp_path / "nonsense.json").write_text("{")

    result = billing("totals", str(tmp_path / "nonsense.json"))

    assert result.exit_code == 2
    assert result.stderr.startswith("error: ")


@pytest.mark.parametrize("quantity", ["-3", "1e9", "NaN", "inf", "1,5", "0.0001", "+2", "99999999999999999999"])
def test_wrong_quantity_is_refused_as_one_and_nothing_is_stored(quantity: str, billing: Billing, patient: str, asked: Asked) -> None:
    result = billing("invoice", "create", "--patient", patient, "--item", f"VISIT:{quantity}")

    assert result.exit_code == 2
    assert "quantity" in result.stderr
    assert asked("invoice", "list") == []
