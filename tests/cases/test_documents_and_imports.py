"""Documents say what they said, name no path, and an import that is run again changes nothing."""

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from billing_pharmacy.stockfile import import_stock

from billing import clock
from billing.money import parse_unit_price
from billing.services import clinics, documents, patients, price_files, prices, series
from billing.services.quotation import NewItem
from billing.testing.race import Undone
from billing.transaction import Transaction

if TYPE_CHECKING:
    from tests.cases.conftest import CaseWorld

NOON = datetime(2026, 6, 1, 10, 5, tzinfo=UTC)  # five past twelve in Berlin


@pytest.mark.case("P64")
@pytest.mark.parametrize("form", ["text", "80mm", "a4"])
def test_old_receipt_says_what_it_said_when_everything_has_another_name(world: "CaseWorld", form: Any) -> None:
    """opensourcepos/opensourcepos#2235: an old receipt showed today's tax."""
    patient = world.patient()
    bill = world.n1(patient_id=patient)
    taken = world.pay(bill.id, "cash 200", actor="c1")
    shape: Any = "text" if form == "text" else "a4"
    prints: list[Callable[[], documents.Document]] = [
        lambda: world.run(lambda tx: documents.print_receipt(tx, payment_id=taken.id, form=form)),
        lambda: world.run(lambda tx: documents.print_invoice(tx, invoice_id=bill.id, form=shape)),
    ]
    before = [each() for each in prints]

    world.run(_rename_everything(patient))
    after = [each() for each in prints]

    assert [(each.copy, again.copy) for each, again in zip(before, after, strict=True)] == [(0, 1), (0, 1)]
    for each, again in zip(before, after, strict=True):
        lines = again.content.splitlines()
        marked = [line for line in lines if "COPY 1" in line]
        assert len(marked) == 1
        assert [line for line in lines if line not in marked] == each.content.splitlines()


def _rename_everything(patient_id: str) -> Callable[[Transaction], None]:
    def unit(tx: Transaction) -> None:
        client_id = patients.read_patient(tx, patient_id=patient_id).client_id
        prices.change_price(
            tx, code="AMOX", unit_price_e4=parse_unit_price("99.00", tx.clinic.currency), tax_category="S", tax_rate_bp=1900
        )
        prices.update_service(tx, code="GLU", description="Another name")
        patients.update_patient(tx, patient_id=patient_id, changes={"name": "Another patient"})
        patients.update_client(tx, client_id=client_id, changes={"name": "Another client", "address": "Elsewhere 1"})
        changes = {"name": "Another clinic", "address": "Elsewhere 2", "tax_number": "X", "language": "de", "time_zone": "Asia/Tokyo"}
        clinics.update_clinic(tx, changes=changes)
        clinics.order_departments(tx, codes=["pharmacy", "laboratory", "consultation"])

    return unit


@pytest.mark.case("P65")
@pytest.mark.parametrize("form", ["text", "80mm", "a4"])
def test_receipt_shows_what_was_due_received_and_given_back(world: "CaseWorld", asked: Callable[..., Any], form: str) -> None:
    """FreeOpenSourcePOS/FloCafe#770: received and change were not printed."""
    with clock.fixed(NOON):
        bill = world.n1()
        taken = world.pay(bill.id, "cash 200", actor="c1")
        printed = world.run(lambda tx: documents.print_receipt(tx, payment_id=taken.id, form=form))  # type: ignore[arg-type]

    words = " ".join(printed.content.replace("<", " <").replace(">", "> ").split())
    for said in ("154.00", "200.00", "46.00", "cash", taken.receipt_number, "C1", "12:05"):
        assert said.casefold() in words.casefold(), said


EVIL = (
    "../../etc/passwd",
    "..%2f..%2fetc%2fpasswd",
    "..\\..\\win.ini",
    "C:\\boot.ini",
    "/etc/passwd",
    "a\0b",
    "%00",
    "\n",
    "'; DROP TABLE invoice;--",
    "",
)


@pytest.mark.case("P66")
@pytest.mark.parametrize("evil", EVIL)
def test_id_that_is_a_path_is_nothing_that_the_clinic_has(
    world: "CaseWorld", asked: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, evil: str
) -> None:
    """openfoodfoundation/openfoodnetwork#14664: the id of an invoice became part of a path."""
    folder = tmp_path / "exports"
    folder.mkdir()
    monkeypatch.chdir(folder)
    asked("clinic", "list")  # what the program itself keeps is there by now
    before = _files(tmp_path)
    out = ["--out", "document.txt"]

    codes = {
        asked(*line)
        for line in (
            ["invoice", "print", evil, *out],
            ["invoice", "show", evil],
            ["receipt", "print", evil, *out],
            ["receipt", "show", evil],
            ["patient", "show", evil],
            ["pay", evil, "--card", "1"],
        )
    }

    assert codes <= {"unknown_invoice", "unknown_payment", "unknown_patient", "not_found", "not_storable"}, codes
    assert _files(tmp_path) == before


def _files(folder: Path) -> set[tuple[Path, int]]:
    return {(path, path.stat().st_size) for path in folder.rglob("*") if path.is_file() and "sqlite3" not in path.name}


@pytest.mark.case("P66")
@pytest.mark.parametrize(
    "text", ["../{number}", "/etc/{number}", "a/../{number}", "C:\\{number}", "a\0{number}", "%2e%2e{number}", "{number}/.."]
)
def test_number_format_that_would_lead_elsewhere_is_refused(world: "CaseWorld", text: str) -> None:
    """openfoodfoundation/openfoodnetwork#14664: numbers are parts of file names, so they can't be paths."""
    code = world.refused(lambda: world.run(lambda tx: series.add_series(tx, series="evil", kind="invoice", format=text, reset="never")))

    assert code == "bad_number_format"


@pytest.mark.case("P66")
def test_file_name_of_a_document_is_a_name_and_no_path(world: "CaseWorld") -> None:
    """openfoodfoundation/openfoodnetwork#14664: a number may have slashes where people print them so; a file name has none."""
    world.run(lambda tx: series.add_series(tx, series="odd", kind="invoice", format="A/b.{year}/{number}", reset="year"))
    bill = world.invoice("VISIT", series="odd")

    printed = world.run(lambda tx: documents.print_invoice(tx, invoice_id=bill.id, form="text"))

    assert "/" in str(bill.number)
    assert Path(printed.file_name).name == printed.file_name
    assert "\\" not in printed.file_name


@pytest.mark.case("P66")
def test_text_of_people_and_plugins_is_text_in_every_document(world: "CaseWorld") -> None:
    """openfoodfoundation/openfoodnetwork#14664: what is typed reaches no path."""
    bill = world.bill(NewItem(description="../../<b>x</b>", department="consultation", unit_price_e4=1_000_000))

    page = world.run(lambda tx: documents.print_invoice(tx, invoice_id=bill.id, form="a4"))

    assert "../../&lt;b&gt;x&lt;/b&gt;" in page.content
    assert page.file_name == f"invoice-{bill.number}.html"


# --- imports ------------------------------------------------------------------------------------------------------------------------

STOCK = "service_code,lot,expires_on,quantity,unit_cost\n" + "".join(f"AMOX,L{n},2099-01-31,5,1.00\n" for n in range(40))
HEADER = "code,department,description,unit,unit_price,currency,tax_category,tax_rate,active"


def _prices(world: "CaseWorld") -> str:
    """Return a price file as this clinic exports it, with forty services more."""
    exported = BytesIO()
    from io import StringIO

    text = StringIO()
    world.read(lambda tx: price_files.export_prices(tx, stream=text))
    exported.close()
    lines = text.getvalue().splitlines()
    (visit,) = [line for line in lines if line.startswith("VISIT,")]
    return "\n".join([*lines, *(visit.replace("VISIT,", f"NEW{n},", 1) for n in range(40))]) + "\n"


@pytest.mark.case("P68")
@pytest.mark.parametrize("what", ["stock", "price"])
def test_file_that_is_imported_again_changes_nothing(world: "CaseWorld", asked: Callable[..., Any], tmp_path: Path, what: str) -> None:
    """kmbrimble/terriblebutler#44: importing twice doubled the stock."""
    file = tmp_path / "file.csv"
    file.write_text(STOCK if what == "stock" else _prices(world))
    aborted = world.refused(lambda: world.run(lambda tx: _import_and_fail(tx, what, file)))

    first = asked(what, "import", str(file))
    after = {name: rows for name, rows in world.dump().items() if not name.startswith("audit")}
    second = asked(what, "import", str(file))

    assert aborted == "undone"
    assert (first["new"], second["new"]) == (40, 0)
    assert {name: rows for name, rows in world.dump().items() if not name.startswith("audit")} == after
    if what == "stock":
        assert sum(world.stock(f"L{n}") for n in range(40)) == 40 * 5000


def _import_and_fail(tx: Transaction, what: str, file: Path) -> None:
    import csv

    if what == "stock":
        with file.open(newline="") as lines:
            import_stock(tx, csv.DictReader(lines))
    else:
        price_files.import_prices(tx, stream=BytesIO(file.read_bytes()))
    tx.flush()
    raise Undone("in the middle")


@pytest.mark.case("P68")
@pytest.mark.parametrize("what", ["stock", "price"])
def test_file_that_two_import_at_once_is_imported_once(world: "CaseWorld", asked: Callable[..., Any], tmp_path: Path, what: str) -> None:
    """kmbrimble/terriblebutler#44: twice at the same moment is once, too."""
    file = tmp_path / "file.csv"
    file.write_text(STOCK if what == "stock" else _prices(world))
    program = "import sys; from billing.interfaces.cli.frame import Frame; Frame().main(sys.argv[1:])"
    line = [sys.executable, "-c", program, "--json", what, "import", str(file)]

    both = [subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    told = [each.communicate(timeout=120) for each in both]
    again = asked(what, "import", str(file))

    new = [json.loads(out)["new"] if out else json.loads(err)["error"]["code"] for out, err in told]
    assert sorted(new, key=str) in ([0, 40], [40, "service_code_taken"]), "the later one finds all, or is told that somebody was first"
    assert again["new"] == 0
    if what == "stock":
        assert sum(world.stock(f"L{n}") for n in range(40)) == 40 * 5000
