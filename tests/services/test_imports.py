"""Exports of another system, read, claimed, billed and paid: with departments of the tests, on small files."""

import csv
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from billing.errors import BillingError, PluginViolation, Refused
from billing.facts import Claim, ImportedItem, ImportFacts, Records
from billing.model import (
    AuditEntry,
    Client,
    Consultation,
    Effect,
    Invoice,
    InvoiceItem,
    Membership,
    Patient,
    Payer,
    Service,
    ServicePrice,
    Staff,
)
from billing.model import Claim as ClaimRow
from billing.model.payment import Payment
from billing.model.payment import Tender as TenderRow
from billing.plugin import Change, Declaration, Department, effect, hookimpl, insert, parse_quantity, parse_unit_price
from billing.rules.settlement import Scope
from billing.rules.tenders import Tender
from billing.services import doctor, invoice_steps, payments, staff
from billing.services.imports import people
from billing.services.imports.claiming import ClaimedTwice
from billing.services.imports.people import ENTRY, ImporterUnfit
from billing.services.imports.run import NOT_CLAIMED, Skipped, VisitChanged, import_export
from billing.services.imports.summary import ImportSummary, OfDepartment, OfMethod, OfYear, summarize_imports
from billing.services.imports.synthea import NO_VISIT, UNKNOWN_VISIT, BadExport, Export, read_export
from billing.services.imports.visits import ServiceElsewhere
from billing.testing.shelf import Desk, Shelf, ShelfLot
from billing.testing.world import World
from billing.transaction import PermissionMissing, Transaction

NOW = datetime(2026, 6, 1, tzinfo=UTC)

HEADERS = {
    "encounters.csv": "Id START STOP PATIENT PROVIDER PAYER ENCOUNTERCLASS CODE DESCRIPTION BASE_ENCOUNTER_COST PAYER_COVERAGE LINE_TOTAL",
    "patients.csv": "Id BIRTHDATE SSN DRIVERS PASSPORT FIRST LAST GENDER CITY STATE ZIP",
    "payers.csv": "Id NAME",
    "procedures.csv": "START STOP PATIENT ENCOUNTER CODE DESCRIPTION BASE_COST",
    "medications.csv": "START PATIENT ENCOUNTER CODE DESCRIPTION BASE_COST DISPENSES",
    "immunizations.csv": "DATE PATIENT ENCOUNTER CODE DESCRIPTION BASE_COST",
    "lab_observations.csv": "DATE PATIENT ENCOUNTER CODE DESCRIPTION VALUE UNITS TYPE",
}


class Rooms(Desk):
    """Bills visits and procedures."""

    kinds: tuple[str, ...] = ("visit", "procedure")
    code, department = "R", "desk"

    @hookimpl
    def declare(self) -> Declaration:
        return Declaration(departments=(Department("desk", "Desk"),), record_kinds=self.kinds)

    @hookimpl
    def import_records(self, records: Records) -> Iterator[Claim]:
        for record in records.rows:
            cost = "BASE_ENCOUNTER_COST" if record.kind == "visit" else "BASE_COST"
            yield Claim(
                record,
                self.department,
                f"{self.code}-{record.row['CODE']}",
                record.row["DESCRIPTION"],
                parse_unit_price(record.row[cost], records.currency),
                given={"by": records.entered_by},
            )


class Stock(Shelf):
    """Sells medications from a shelf that an import fills."""

    @hookimpl
    def declare(self) -> Declaration:
        declared = super().declare()
        return Declaration(departments=declared.departments, tables=declared.tables, needs=declared.needs, record_kinds=("medication",))

    @hookimpl
    def import_records(self, records: Records) -> Iterator[Claim]:
        for record in records.rows:
            if record.row["DISPENSES"] != "0":
                price = parse_unit_price(record.row["BASE_COST"], records.currency)
                quantity = parse_quantity(record.row["DISPENSES"])
                yield Claim(record, "shelf", f"S-{record.row['CODE']}", record.row["DESCRIPTION"], price, quantity)

    @hookimpl
    def on_records_imported(self, imported: ImportFacts, items: tuple[ImportedItem, ...]) -> Iterator[Change]:
        for item in items:
            yield insert(ShelfLot, service_id=item.service_id, on_hand_milli=item.quantity_milli, note=imported.visit_id)


class Files:
    """An export in the making: one patient, one payer, and what a test adds."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rows: dict[str, list[dict[str, str]]] = {name: [] for name in HEADERS}
        self.patient("p1")
        self.rows["payers.csv"].append({"Id": "py1", "NAME": "Good Health"})

    def patient(self, source: str, **cells: str) -> "Files":
        given = {"Id": source, "BIRTHDATE": "1980-05-06", "SSN": "999-12-3456", "DRIVERS": "S999", "PASSPORT": "X12", "FIRST": "Ada"}
        return self._add("patients.csv", {**given, "LAST": "Byron", "GENDER": "F", "CITY": "Oak", "STATE": "Ohio", "ZIP": "123", **cells})

    def visit(self, source: str, *, start: str = "2020-03-04T10:00:00Z", cost: str = "50.00", **cells: str) -> "Files":
        day = start[:10]
        given = {"Id": source, "START": start, "STOP": f"{day}T23:59:59Z", "PATIENT": "p1", "PROVIDER": "abcdef12-3456", "PAYER": "py1"}
        shown = {"ENCOUNTERCLASS": "wellness", "CODE": "100", "DESCRIPTION": "Check up", "BASE_ENCOUNTER_COST": cost}
        return self._add("encounters.csv", {**given, **shown, "PAYER_COVERAGE": "0.00", "LINE_TOTAL": "", **cells})

    def procedure(self, visit: str, code: str = "P1", cost: str = "20.00", **cells: str) -> "Files":
        return self._child("procedures.csv", "START", visit, code, {"BASE_COST": cost, **cells})

    def medication(self, visit: str, code: str = "M1", cost: str = "3.50", dispenses: str = "2", **cells: str) -> "Files":
        return self._child("medications.csv", "START", visit, code, {"BASE_COST": cost, "DISPENSES": dispenses, **cells})

    def observation(self, visit: str, code: str = "718-7", **cells: str) -> "Files":
        return self._child("lab_observations.csv", "DATE", visit, code, {"VALUE": "1.2", "UNITS": "g", "TYPE": "numeric", **cells})

    def write(self) -> Path:
        for name, header in HEADERS.items():
            with (self.folder / name).open("w", encoding="utf-8", newline="") as file:
                lines = csv.DictWriter(file, header.split(), restval="")
                lines.writeheader()
                lines.writerows(self.rows[name])
        return self.folder

    def read(self) -> Export:
        return read_export(self.write(), now=NOW)

    def _child(self, file: str, at: str, visit: str, code: str, cells: dict[str, str]) -> "Files":
        given = {at: "2020-03-04T10:05:00Z", "PATIENT": "p1", "ENCOUNTER": visit, "CODE": code, "DESCRIPTION": f"About {code}"}
        return self._add(file, {**given, **cells})

    def _add(self, file: str, cells: dict[str, str]) -> "Files":
        self.rows[file].append(cells)
        return self


@pytest.fixture
def files(tmp_path: Path) -> Files:
    folder = tmp_path / "export"
    folder.mkdir()
    return Files(folder)


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    made = World(database_url, plugins={"rooms": Rooms(), "shelf": Stock()})
    yield made
    made.dispose()


@pytest.fixture
def quick_world(sqlite_url: str) -> Iterator[World]:
    made = World(sqlite_url, plugins={"rooms": Rooms(), "shelf": Stock()})
    yield made
    made.dispose()


def carry_out(world: World, export: Export, *, actor: str | None = None, clinic: str | None = None) -> tuple[Skipped, ...]:
    return import_export(world.database, export=export, clinic=clinic or world.clinic, actor=actor or world.actor)


def summary(world: World, *, clinic: str | None = None) -> ImportSummary:
    return world.read(summarize_imports, clinic=clinic)


def count(world: World, *tables: Any) -> list[int]:
    def unit(tx: Transaction) -> list[int]:
        return [tx.session.scalar(select(func.count()).select_from(table)) or 0 for table in tables]

    return world.read(unit)


def dump(world: World) -> dict[str, Any]:
    """Return all rows but those of the audit chain: who starts an import is noted each time."""
    return {name: rows for name, rows in world.dump().items() if not name.startswith("audit_")}


def paid_export(files: Files) -> Export:
    """Three visits: paid in cash, in part by the payer, and by the payer alone."""
    files.visit("v1").procedure("v1").medication("v1")
    files.visit("v2", start="2021-01-01T09:00:00Z", PAYER_COVERAGE="60.00").medication("v2", cost="10.00", dispenses="3")
    files.visit("v3", start="2021-02-01T09:00:00Z", PAYER_COVERAGE="500.00")
    return files.read()


# --- reading ------------------------------------------------------------------------------------------------------------------------


def test_visits_come_in_the_order_of_start_and_id_whatever_the_files_say(files: Files) -> None:
    files.visit("b", start="2020-01-01T10:00:00Z").visit("a", start="2020-01-01T11:00:00+01:00").visit("c", start="2019-12-31T23:59:59Z")

    export = files.read()

    assert [visit.source for visit in export.visits] == ["c", "a", "b"]


def test_records_come_with_their_visit_first_and_know_their_places(files: Files) -> None:
    files.visit("v1").observation("v1", DATE="2020-03-09").procedure("v1", "P2").procedure("v1", "P2")

    export = files.read()
    found = export.records(export.visits[0])

    assert [(record.kind, record.row["CODE"], place.file, place.line) for record, place in found] == [
        ("visit", "100", "encounters.csv", 2),
        ("procedure", "P2", "procedures.csv", 2),
        ("procedure", "P2", "procedures.csv", 3),
        ("observation", "718-7", "lab_observations.csv", 2),
    ]
    assert found[-1][0].at == datetime(2020, 3, 9, tzinfo=UTC)


def test_numbers_that_identify_a_person_elsewhere_are_never_kept(files: Files) -> None:
    files.visit("v1")

    export = files.read()

    assert "999-12-3456" not in repr(export)
    assert "X12" not in repr(export)
    patient = asdict(export.patients["p1"])
    assert (patient["name"], patient["sex"], patient["address"]) == ("Ada Byron", "female", "123 Oak\nOhio")


def test_observations_may_have_the_name_that_other_exports_use(files: Files) -> None:
    files.visit("v1").observation("v1").write()
    (files.folder / "lab_observations.csv").rename(files.folder / "observations.csv")

    export = read_export(files.folder, now=NOW)

    assert [place.file for _, place in export.records(export.visits[0])] == ["encounters.csv", "observations.csv"]


def test_records_of_no_visit_are_counted(files: Files) -> None:
    files.visit("v1").observation("").observation("").procedure("elsewhere")

    export = files.read()

    assert export.unplaced == {("observation", NO_VISIT): 2, ("procedure", UNKNOWN_VISIT): 1}


def test_visit_without_an_end_ends_when_it_starts(files: Files) -> None:
    files.visit("v1", STOP="").visit("v2", start="2026-05-31T10:00:00Z", STOP="2026-07-01T10:00:00Z")

    visits = files.read().visits

    assert [visit.ended_at == visit.started_at for visit in visits] == [True, True]


@pytest.mark.parametrize(
    ("file", "column"), [(file, column) for file in HEADERS for column in ("Id", "PATIENT", "ENCOUNTER", "NAME", "DISPENSES", "VALUE")]
)
def test_missing_column_is_named_with_its_file(files: Files, file: str, column: str) -> None:
    needed = column in HEADERS[file].split()
    path = files.visit("v1").write() / file
    header, rest = path.read_text().split("\n", 1)
    path.write_text(",".join("OTHER" if name == column else name for name in header.strip().split(",")) + "\n" + rest)

    if not needed:
        read_export(files.folder, now=NOW)
        return
    with pytest.raises(BadExport, match=f"^{file} has no column {column}") as caught:
        read_export(files.folder, now=NOW)
    assert (caught.value.facts["file"], caught.value.facts["column"]) == (file, column)


@pytest.mark.parametrize("file", [name for name in HEADERS if name != "lab_observations.csv"])
def test_missing_file_is_named(files: Files, file: str) -> None:
    files.visit("v1").write().joinpath(file).unlink()

    with pytest.raises(BadExport, match=f"has no {file}"):
        read_export(files.folder, now=NOW)


def test_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadExport, match=r"There is no folder .*nowhere"):
        read_export(tmp_path / "nowhere", now=NOW)


@pytest.mark.parametrize(
    ("cells", "line", "told"),
    [
        ({"Id": ""}, 3, "Id is empty"),
        ({"Id": "v1"}, 3, "stands in line 2 already"),
        ({"START": "yesterday"}, 3, "START is 'yesterday'"),
        ({"START": "2020-13-01T00:00:00Z"}, 3, "START is '2020-13-01T00:00:00Z'"),
        ({"START": "2026-06-01T00:00:01Z", "STOP": ""}, 3, "starts in the future"),
        ({"STOP": "2020-03-04T09:59:59Z"}, 3, "before it starts"),
        ({"PATIENT": "p9"}, 3, r"the patient p9 is not in patients\.csv"),
        ({"PROVIDER": ""}, 3, "PROVIDER is empty"),
    ],
)
def test_bad_encounter_is_told_with_its_line(files: Files, cells: dict[str, str], line: int, told: str) -> None:
    files.visit("v1").visit(**{"source": "v2", **cells})

    with pytest.raises(BadExport, match=rf"^encounters\.csv, line {line}: .*{told}"):
        files.read()


def test_bad_records_and_lines_are_told_with_their_place(files: Files) -> None:
    files.visit("v1").patient("p2").procedure("v1", PATIENT="p2")
    with pytest.raises(BadExport, match=r"^procedures\.csv, line 2: the record is of another patient"):
        files.read()

    path = files.folder / "patients.csv"
    path.write_text(path.read_text() + "p3,only\n")
    with pytest.raises(BadExport, match=r"^patients\.csv, line 4: there are 2 cells, and 11 columns"):
        read_export(files.folder, now=NOW)

    files.patient("p2")
    with pytest.raises(BadExport, match=r"^patients\.csv, line 4: the patient p2 stands here again"):
        files.read()


def test_wrong_encoding_and_broken_quotes_are_told(files: Files) -> None:
    path = files.visit("v1", DESCRIPTION="Größe").write() / "encounters.csv"
    text = path.read_text(encoding="utf-8")
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(BadExport, match=r"^encounters\.csv is no text in UTF-8"):
        read_export(files.folder, now=NOW)

    path.write_text(text.replace("Größe", 'say "ah'), encoding="utf-8")
    path.write_text(path.read_text(encoding="utf-8") + '"open', encoding="utf-8")
    with pytest.raises(BadExport, match=r"^encounters\.csv can't be read"):
        read_export(files.folder, now=NOW)


def test_export_without_visits_is_refused_and_a_byte_order_mark_is_not(files: Files) -> None:
    with pytest.raises(BadExport, match="there is nothing to import"):
        files.read()

    path = files.visit("v1").write() / "encounters.csv"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert len(read_export(files.folder, now=NOW).visits) == 1


# --- importing ----------------------------------------------------------------------------------------------------------------------


def test_visit_becomes_a_closed_consultation_and_one_paid_invoice_with_its_own_dates(world: World, files: Files) -> None:
    export = files.visit("v1").procedure("v1").procedure("v1").medication("v1").observation("v1").read()

    skipped = carry_out(world, export)

    assert skipped == (Skipped("observation", "718-7", "About 718-7", NOT_CLAIMED, 1),)
    began, ended = datetime(2020, 3, 4, 10, tzinfo=UTC), datetime(2020, 3, 4, 23, 59, 59, tzinfo=UTC)

    def look(tx: Transaction) -> None:
        consultation = tx.session.scalars(select(Consultation)).one()
        assert (consultation.status, consultation.source, consultation.kind) == ("closed", "v1", "wellness")
        assert (consultation.opened_at, consultation.closed_at) == (began, ended)
        invoice = tx.session.scalars(select(Invoice)).one()
        assert (invoice.source, invoice.consultation_id, invoice.status) == ("v1", consultation.id, "paid")
        assert (invoice.total_minor, invoice.amount_paid_minor, invoice.tax_minor) == (97_00, 97_00, 0)
        assert (invoice.created_at, invoice.number) == (began, "INV-2020-00001")
        items = tx.session.scalars(select(InvoiceItem).order_by(InvoiceItem.position)).all()
        assert [(item.code, item.department, item.total_minor) for item in items] == [
            ("R-100", "desk", 50_00),
            ("R-P1", "desk", 20_00),
            ("R-P1", "desk", 20_00),
            ("S-M1", "shelf", 7_00),
        ]
        assert all(item.person_price and item.tax_category == "O" and item.provider_id == invoice.provider_id for item in items)
        payment = tx.session.scalars(select(Payment)).one()
        assert (payment.taken_at, payment.receipt_number, payment.scope) == (began, "R-2020-00001", "ALL")
        assert len(tx.session.scalars(select(Effect)).all()) == 4
        lot = tx.session.scalars(select(ShelfLot)).one()
        assert (lot.on_hand_milli, lot.note) == (0, "v1")

    world.read(look)


def test_patients_providers_and_importers_are_made_once(world: World, files: Files) -> None:
    export = files.visit("v1").patient("p2").visit("v2", PATIENT="p2", PROVIDER="99999999-1").read()
    carry_out(world, export)

    carry_out(world, export)

    def look(tx: Transaction) -> None:
        assert {(row.source, row.name) for row in tx.session.scalars(select(Client))} == {("p1", "Ada Byron"), ("p2", "Ada Byron")}
        assert {row.source for row in tx.session.scalars(select(Patient))} == {"p1", "p2"}
        members = {(row.name, row.role, row.provider, row.staff_id is None) for row in tx.session.scalars(select(Membership))}
        assert members == {
            ("Import, entry", "importer", False, False),
            ("Import, verification", "importer", False, False),
            ("Provider abcdef12", "clinician", True, True),
            ("Provider 99999999", "clinician", True, True),
        }

    world.read(look)


def test_providers_have_the_names_that_a_standard_export_brings(quick_world: World, files: Files) -> None:
    files.visit("v1").write()
    (files.folder / "providers.csv").write_text("Id,NAME\nabcdef12-3456,Dr. Mint\n")

    carry_out(quick_world, read_export(files.folder, now=NOW))

    assert {each.name for each in quick_world.read(lambda tx: staff.list_staff(tx, providers=True))} == {"Dr. Mint"}


def test_payer_pays_its_claim_and_the_rest_comes_in_cash(world: World, files: Files) -> None:
    carry_out(world, paid_export(files))

    def look(tx: Transaction) -> None:
        rows = tx.session.execute(
            select(Invoice.source, Payment.scope, TenderRow.method, TenderRow.amount_minor, TenderRow.reference)
            .join(Payment, Payment.invoice_id == Invoice.id)
            .join(TenderRow, TenderRow.payment_id == Payment.id)
            .order_by(Invoice.source, Payment.id)
        )
        assert [tuple(row) for row in rows] == [
            ("v1", "ALL", "cash", 77_00, None),
            ("v2", "ALL", "cash", 20_00, None),
        ]
        claimed = select(Invoice.source, Payer.name, ClaimRow.amount_minor, ClaimRow.status).join(
            ClaimRow, ClaimRow.invoice_id == Invoice.id
        )
        rows = tx.session.execute(claimed.join(Payer, Payer.id == ClaimRow.payer_id).order_by(Invoice.source))
        assert [tuple(row) for row in rows] == [("v2", "Good Health", 60_00, "paid"), ("v3", "Good Health", 50_00, "paid")]

    world.read(look)
    assert world.read(doctor.examine).broken == ()


def test_summary_counts_what_is_in_the_database(world: World, files: Files) -> None:
    carry_out(world, paid_export(files))

    assert summary(world) == ImportSummary(
        patients=1,
        providers=1,
        invoices=3,
        invoices_paid=3,
        total_minor=207_00,
        payments=5,
        paid_minor=207_00,
        by_department=(OfDepartment("desk", 4, 170_00, 170_00), OfDepartment("shelf", 2, 37_00, 37_00)),
        by_method=(OfMethod("cash", 2, 97_00), OfMethod("transfer", 2, 110_00)),
        by_year=(OfYear(2020, 1, 77_00, 1, 77_00), OfYear(2021, 2, 130_00, 4, 130_00)),
    )


def test_invoice_of_nothing_is_settled_too(world: World, files: Files) -> None:
    carry_out(world, files.visit("v1", cost="0.00").read())

    made = summary(world)
    assert (made.invoices_paid, made.payments, made.paid_minor, made.by_method) == (1, 1, 0, ())
    assert count(world, Effect) == [1]


def test_cash_is_rounded_where_the_currency_has_no_small_coins(quick_world: World, files: Files) -> None:
    quick_world.found("south", currency="CHF")

    carry_out(quick_world, files.visit("v1", cost="50.03").read(), clinic="south")

    assert summary(quick_world, clinic="south").by_method == (OfMethod("cash", 1, 50_05),)
    assert summary(quick_world, clinic="south").paid_minor == 50_03


def test_services_are_made_once_with_their_first_price_and_kept_as_they_are(world: World, files: Files) -> None:
    world.service("R-P1", price="99.00")
    files.visit("v1").procedure("v1", cost="20.00").medication("v1").visit("v2", start="2021-01-01T10:00:00Z", cost="55.00")

    carry_out(world, files.read())

    def look(tx: Transaction) -> None:
        prices: dict[str, int] = {row.code: row.unit_price_e4 for row in tx.session.scalars(select(Service))}
        assert prices == {"R-100": 50_000_000, "R-P1": 99_000_000, "S-M1": 3_500_000}
        history = select(Service.code, ServicePrice.unit_price_e4).join(ServicePrice, ServicePrice.service_id == Service.id)
        assert {row.code: row.unit_price_e4 for row in tx.session.execute(history)} == {"R-100": 50_000_000, "S-M1": 3_500_000}
        billed = select(InvoiceItem.unit_price_e4).where(InvoiceItem.code == "R-P1")
        assert tx.session.scalars(billed).one() == 20_000_000

    world.read(look)


def test_code_of_another_department_stops_the_import(quick_world: World, files: Files) -> None:
    quick_world.service("S-M1", department="desk")
    export = files.visit("v1").medication("v1").read()

    with pytest.raises(ServiceElsewhere, match=r"^encounters\.csv, line 2: S-M1 is on the price list of desk, not of shelf"):
        carry_out(quick_world, export)

    assert count(quick_world, Invoice, Consultation, ShelfLot) == [0, 0, 0]


# --- bad rows -----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("add", "place"),
    [
        pytest.param(lambda files: files.procedure("v2", cost="-1.00"), "procedures.csv, line 2", id="negative cost"),
        pytest.param(lambda files: files.procedure("v2", cost="NaN"), "procedures.csv, line 2", id="no number"),
        pytest.param(lambda files: files.procedure("v1").procedure("v2", cost="1e5"), "procedures.csv, line 3", id="exponent"),
        pytest.param(lambda files: files.medication("v2", dispenses="a few"), "medications.csv, line 2", id="no quantity"),
        pytest.param(lambda files: files.medication("v2", dispenses="9" * 14), "medications.csv, line 2", id="huge quantity"),
        pytest.param(lambda files: files.visit("v3", cost="twelve"), "encounters.csv, line 4", id="visit without a price"),
        pytest.param(lambda files: files.visit("v3", PAYER_COVERAGE="1,000.00"), "encounters.csv, line 4", id="coverage with a comma"),
        pytest.param(lambda files: files.visit("v3", LINE_TOTAL="50.01"), "encounters.csv, line 4", id="another total"),
        pytest.param(lambda files: files.visit("v3", LINE_TOTAL="x"), "encounters.csv, line 4", id="total that is none"),
    ],
)
def test_bad_cell_stops_the_import_before_anything_is_stored(
    quick_world: World, files: Files, add: Callable[[Files], Files], place: str
) -> None:
    export = add(files.visit("v1").visit("v2", start="2021-01-01T10:00:00Z")).read()
    before = quick_world.dump()

    with pytest.raises(BillingError, match=rf"^{place.replace('.', '[.]')}: ") as caught:
        carry_out(quick_world, export)

    assert caught.value.exit_code == 2
    assert f"{caught.value.facts['file']}, line {caught.value.facts['line']}" == place
    assert quick_world.dump() == before


def test_visit_that_fails_leaves_the_earlier_ones_and_nothing_of_itself(world: World, files: Files) -> None:
    export = files.visit("v1").visit("v2", start="2021-01-01T10:00:00Z").medication("v2").procedure("v2", DESCRIPTION="x" * 501).read()

    with pytest.raises(BillingError, match=r"^encounters\.csv, line 3: .*501 characters"):
        carry_out(world, export)

    assert summary(world).invoices_paid == 1
    assert count(world, Consultation, Invoice, Payment, ShelfLot) == [1, 1, 1, 0]


def test_currency_without_cents_refuses_cents(quick_world: World, files: Files) -> None:
    quick_world.found("tokyo", currency="JPY")

    with pytest.raises(BillingError, match=r"^encounters\.csv, line 2: '0\.00' is no amount in JPY"):
        carry_out(quick_world, files.visit("v1").read(), clinic="tokyo")


# --- plugins that misbehave ---------------------------------------------------------------------------------------------------------


class Rival(Rooms):
    kinds: tuple[str, ...] = ("procedure",)
    code, department = "X", "rival"

    @hookimpl
    def declare(self) -> Declaration:
        return Declaration(departments=(Department("rival", "Rival"),), record_kinds=self.kinds)


class Thief(Rival):
    """Claims for a department that is not its own."""

    department = "desk"


class Hasty(Rival):
    """States an effect for an item that does not exist yet."""

    kinds: tuple[str, ...] = ("immunization",)

    @hookimpl
    def on_records_imported(self, items: tuple[ImportedItem, ...]) -> Iterator[Change]:
        yield effect("no-item", "too.early")  # type: ignore[arg-type]


class Inventor(Rival):
    """Answers with what is no claim."""

    @hookimpl
    def import_records(self, records: Records) -> Iterator[Any]:
        yield "a claim"


@pytest.mark.parametrize(
    ("plugin", "error", "told"),
    [
        (Rival(), ClaimedTwice, r"^procedures\.csv, line 2: The plugins rival and rooms both claim the procedure P1"),
        (Thief(), PluginViolation, "it claimed a record for desk"),
        (Inventor(), PluginViolation, "it answered str"),
    ],
)
def test_plugin_that_claims_what_it_may_not_stops_the_import(
    sqlite_url: str, files: Files, plugin: Any, error: type[Exception], told: str
) -> None:
    world = World(sqlite_url, plugins={"rooms": Rooms(), "rival": plugin})

    with pytest.raises(error, match=told):
        carry_out(world, files.visit("v1").procedure("v1").read())

    assert count(world, Invoice, Membership) == [0, 0]
    world.dispose()


def test_plugin_that_states_effects_before_there_are_items_is_named(sqlite_url: str, files: Files) -> None:
    world = World(sqlite_url, plugins={"rooms": Rooms(), "hasty": Hasty()})
    files.visit("v1").rows["immunizations.csv"].append(
        {"DATE": "2020-03-04", "PATIENT": "p1", "ENCOUNTER": "v1", "CODE": "I1", "DESCRIPTION": "Flu", "BASE_COST": "5.00"}
    )

    with pytest.raises(PluginViolation, match="The plugin hasty broke its contract in on_records_imported"):
        carry_out(world, files.read())

    assert count(world, Invoice, Service) == [0, 0]
    world.dispose()


def test_plugin_is_asked_only_for_the_kinds_that_it_declared(sqlite_url: str, files: Files) -> None:
    world = World(sqlite_url, plugins={"rooms": Rooms()})

    skipped = carry_out(world, files.visit("v1").medication("v1").read())

    assert [(each.kind, each.code, each.count) for each in skipped] == [("medication", "M1", 1)]
    world.dispose()


def test_visit_that_nobody_claims_is_skipped_whole(sqlite_url: str, files: Files) -> None:
    world = World(sqlite_url, plugins={"shelf": Stock()})

    skipped = carry_out(world, files.visit("v1").visit("v2", start="2021-01-01T10:00:00Z").medication("v2", dispenses="0").read())

    assert [(each.kind, each.count) for each in skipped] == [("medication", 1), ("visit", 2)]
    assert count(world, Consultation, Invoice) == [0, 0]
    world.dispose()


# --- stopping and running again -----------------------------------------------------------------------------------------------------


class Stopped(Exception):
    """The process has ended here."""


class Stopping:
    """A database on which the process ends before the unit with this number."""

    def __init__(self, world: World, after: int) -> None:
        self.read = world.database.read
        self._run = world.database.run
        self._left = after

    def run(self, *args: Any, **options: Any) -> Any:
        if self._left == 0:
            raise Stopped
        self._left -= 1
        return self._run(*args, **options)


def test_rerun_goes_on_wherever_the_first_run_was_stopped(world: World, files: Files) -> None:
    export = paid_export(files)
    stops = 0
    while True:
        clinic = f"clinic-{stops}"
        world.found(clinic)
        try:
            import_export(Stopping(world, stops), export=export, clinic=clinic, actor=world.actor)  # type: ignore[arg-type]
        except Stopped:
            carry_out(world, export, clinic=clinic)
            stops += 1
            continue
        break

    made = [summary(world, clinic=f"clinic-{each}") for each in range(stops + 1)]

    assert stops == 9  # importers, patients, payers, providers, the shift opened and closed, and one unit for each visit
    assert made[0].invoices_paid == 3
    assert made == made[:1] * (stops + 1)
    assert all(world.read(doctor.examine, clinic=f"clinic-{each}").healthy for each in range(stops + 1))


def test_rerun_of_everything_adds_nothing(world: World, files: Files) -> None:
    export = paid_export(files)
    carry_out(world, export)
    before = dump(world)

    carry_out(world, export)

    assert dump(world) == before


def test_rerun_by_somebody_else_adds_nothing_either(world: World, files: Files) -> None:
    export = paid_export(files)
    import_export_until(world, export, units=5)
    world.run(lambda tx: staff.add_staff(tx, login="ina", name="Ina", role="importer"))

    carry_out(world, export, actor="ina")

    assert (summary(world).invoices_paid, summary(world).payments) == (3, 5)


def import_export_until(world: World, export: Export, *, units: int) -> None:
    with pytest.raises(Stopped):
        import_export(Stopping(world, units), export=export, clinic=world.clinic, actor=world.actor)  # type: ignore[arg-type]


def test_keys_alone_keep_a_late_importer_from_paying_again(world: World, files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    export = paid_export(files)
    carry_out(world, export)
    before = summary(world)
    monkeypatch.setattr("billing.services.imports.run._Work.states", lambda self, visits: {})

    carry_out(world, export)

    assert summary(world) == before
    assert count(world, Consultation, Invoice, Payment) == [3, 3, 3]


def test_more_visits_in_a_later_export_are_added(world: World, files: Files) -> None:
    carry_out(world, files.visit("v2").read())

    carry_out(world, files.visit("v1", start="2019-01-01T10:00:00Z").visit("v3", start="2022-01-01T10:00:00Z").read())

    assert summary(world).invoices_paid == 3


def test_visit_that_says_something_else_now_is_not_imported_again(quick_world: World, files: Files) -> None:
    carry_out(quick_world, files.visit("v1").read())

    with pytest.raises(
        VisitChanged, match=r"^encounters\.csv, line 2: The encounter v1 was imported with a total of 50\.00; now .* 70\.00"
    ):
        carry_out(quick_world, files.procedure("v1").read())


def only_bill(world: World, export: Export) -> None:
    """Leave visits billed and unpaid, as an import in three units could leave them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("billing.services.imports.run._Work._pay", lambda *_: None)
        carry_out(world, export)


def test_visit_that_is_billed_already_is_paid(world: World, files: Files) -> None:
    export = paid_export(files)
    only_bill(world, export)

    carry_out(world, export)

    assert (summary(world).invoices_paid, summary(world).payments) == (3, 5)


def test_visit_that_is_paid_on_account_already_gets_the_rest_in_cash(world: World, files: Files) -> None:
    export = files.visit("v1", PAYER_COVERAGE="20.00").read()
    only_bill(world, export)
    invoice_id = world.read(lambda tx: tx.session.scalars(select(Invoice.id)).one())
    covering = [Tender("transfer", 20_00, "Good Health")]
    world.run(lambda tx: payments.take_payment(tx, invoice_id=invoice_id, scope=Scope.on_account(), tenders=covering))

    carry_out(world, export)

    paid = world.read(lambda tx: tx.session.scalars(select(Payment.applied_minor).order_by(Payment.id)).all())
    assert paid == [20_00, 30_00]


def test_visit_whose_rest_can_not_be_paid_leaves_nothing(world: World, files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    export = files.visit("v1", PAYER_COVERAGE="20.00").read()

    def refusing(tx: Transaction, **asked: Any) -> payments.PaymentTaken:
        raise Refused("The drawer is locked.")

    monkeypatch.setattr("billing.services.imports.run.take_payment", refusing)

    with pytest.raises(Refused, match=r"^encounters\.csv, line 2: The drawer is locked"):
        carry_out(world, export)

    assert count(world, Consultation, Invoice, Payment) == [0, 0, 0]


def test_invoice_that_people_have_cancelled_stays_cancelled(quick_world: World, files: Files) -> None:
    export = files.visit("v1").read()
    only_bill(quick_world, export)
    invoice_id = quick_world.read(lambda tx: tx.session.scalars(select(Invoice.id)).one())
    quick_world.run(lambda tx: invoice_steps.cancel_invoice(tx, invoice_id=invoice_id, reason="a test"))

    carry_out(quick_world, export)

    assert (summary(quick_world).invoices, count(quick_world, Invoice, Payment)) == (0, [1, 0])


def test_same_export_goes_into_two_clinics(world: World, files: Files) -> None:
    world.found("south")
    export = paid_export(files)

    carry_out(world, export)
    carry_out(world, export, clinic="south")

    assert summary(world) == summary(world, clinic="south")


# --- who may ------------------------------------------------------------------------------------------------------------------------


def test_import_needs_its_permission(world: World, files: Files) -> None:
    export = files.visit("v1").read()
    world.run(lambda tx: staff.add_staff(tx, login="till", name="Till", role="cashier"))

    with pytest.raises(PermissionMissing, match=r"imports\.run"):
        carry_out(world, export, actor="till")

    assert count(world, Patient, Invoice) == [0, 0]


def test_importer_that_lost_its_role_is_told(quick_world: World, files: Files) -> None:
    export = files.visit("v1").read()
    carry_out(quick_world, export)
    quick_world.run(lambda tx: staff.change_role(tx, member=ENTRY, role="cashier"))

    with pytest.raises(ImporterUnfit, match="import-entry can't import here"):
        carry_out(quick_world, export)


def test_audit_says_who_started_and_names_no_patient(world: World, files: Files) -> None:
    world.run(lambda tx: staff.add_staff(tx, login="ina", name="Ina", role="importer"))
    export = paid_export(files)
    carry_out(world, export)

    carry_out(world, export, actor="ina")

    def look(tx: Transaction) -> list[tuple[str, str, str]]:
        logins = {row.id: row.login for row in tx.session.scalars(select(Staff))}
        return [(row.action, logins[row.actor_id], repr(row.data)) for row in tx.session.scalars(select(AuditEntry))]

    entries = world.read(look)
    assert [login for action, login, _ in entries if action == "import.started"] == ["operator", "ina"]
    assert [login for action, login, _ in entries if action == "consultation.imported"] == [ENTRY] * 3
    assert not any("Byron" in data for *_, data in entries)


def test_results_are_entered_by_one_importer_and_verified_by_the_other(quick_world: World, files: Files) -> None:
    carry_out(quick_world, files.visit("v1").read())

    importers = quick_world.run(lambda tx: people.prepare_importers(tx, visits=1))
    given = quick_world.read(lambda tx: tx.session.scalars(select(InvoiceItem.given)).one())

    assert importers.entered_by != importers.verified_by
    assert given == {"by": importers.entered_by}


def test_payments_by_hand_are_left_out_of_the_summary(quick_world: World, files: Files) -> None:
    carry_out(quick_world, files.visit("v1").read())
    quick_world.service("WASH", price="12.00")
    made = quick_world.invoice("WASH")

    quick_world.pay(made.id, "cash 12.00")

    assert (summary(quick_world).payments, summary(quick_world).total_minor) == (1, 50_00)
