"""The main job on real input: a part of the export, with all departments, checked against the files by other means."""

import csv
import json
import random
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from click.testing import CliRunner
from sqlalchemy import func, inspect, select, text

from billing import registry
from billing.interfaces.cli.frame import Frame
from billing.model import Invoice
from billing.services import doctor
from billing.services.imports.run import import_export
from billing.services.imports.summary import ImportSummary, summarize_imports
from billing.services.imports.synthea import read_export
from billing.testing.partitions import PART
from billing.testing.world import World

ZONE = "America/Los_Angeles"
NOT_MEASURED = {"56799-0", "88020-3", "88021-1", "10230-1"}
"""Observations that no laboratory makes: an address, two classes of heart disease, an ultrasound."""
AUDIT = {"audit_entry", "audit_head"}
"""Who starts an import is noted each time; the doctor looks at the chain."""
CHILDREN = ("procedures.csv", "medications.csv", "immunizations.csv", "lab_observations.csv")

Rows = list[dict[str, str]]


@dataclass(frozen=True)
class Part:
    """A part of the export, in a folder of its own, and its rows as the csv module reads them."""

    folder: Path
    rows: dict[str, Rows]

    def of(self, visit: str, file: str) -> Rows:
        return [row for row in self.rows[file] if row["ENCOUNTER"] == visit]

    def measured(self, visit: str) -> Rows:
        return [row for row in self.of(visit, "lab_observations.csv") if row["CODE"] not in NOT_MEASURED]


@pytest.fixture(scope="module")
def part(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Part:
    """Take every 13th visit, so that all years and kinds are there."""
    whole = {path.name: _read(path) for path in (shared_data / "synthea").glob("*.csv")}
    visits = sorted(whole["encounters.csv"], key=lambda row: (row["START"], row["Id"]))[::13]
    chosen = {row["Id"] for row in visits}
    rows = {**whole, "encounters.csv": visits}
    for name in CHILDREN:
        rows[name] = [row for row in whole[name] if row["ENCOUNTER"] in chosen]
    folder = tmp_path_factory.mktemp("part")
    for name, kept in rows.items():
        with (folder / name).open("w", encoding="utf-8", newline="") as file:
            lines = csv.DictWriter(file, list(whole[name][0]))
            lines.writeheader()
            lines.writerows(kept)
    return Part(folder, rows)


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    made = World(database_url, plugins=registry.load(), currency="USD", time_zone=ZONE)
    made.found("south", currency="USD", time_zone=ZONE)
    yield made
    made.dispose()


def test_import_agrees_with_the_files_and_survives_being_killed(world: World, part: Part) -> None:
    export = read_export(part.folder, now=datetime.now(UTC))

    skipped = import_export(world.database, export=export, clinic="north", actor=world.actor)
    once = _dump(world)
    import_export(world.database, export=export, clinic="north", actor=world.actor)

    assert _dump(world) == once, "a rerun adds nothing"
    expected = _expected(part)
    assert _shown(world.read(summarize_imports)) == expected
    assert {(each.kind, each.code): each.count for each in skipped} == _not_measured(part)
    assert [check.name for check in world.read(doctor.examine).broken] == []

    printed = _import_killed_again_and_again(world, part)

    assert _shown(world.read(summarize_imports, clinic="south")) == expected
    north, south = (_rows_of(world, clinic) for clinic in ("north", "south"))
    assert south == north, "so many rows of each table as without being killed"
    assert [check.name for check in world.read(doctor.examine, clinic="south").broken] == []
    assert (printed["total"], printed["invoices_paid"]) == (str(expected["total"]), len(part.rows["encounters.csv"]))
    _check_invoice_list(world, part)


def _import_killed_again_and_again(world: World, part: Part) -> Any:
    """Import into the clinic south, killing the process at random moments; return what the last run, which may end, prints."""
    command = ["import", "synthea", str(part.folder), "--clinic", "south", "--database", world.url]
    started = [sys.executable, "-c", "from billing.interfaces.cli import main; main()", *command]
    chance = random.Random()
    for done in (5, 40):
        with subprocess.Popen(started, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as running:
            while running.poll() is None and _invoices(world) < done:
                time.sleep(0.02)
            time.sleep(chance.random() / 20)
            assert running.poll() is None, running.communicate()
            running.send_signal(signal.SIGKILL)
        assert done <= _invoices(world) < len(part.rows["encounters.csv"])
    return _asked(*command)


def _check_invoice_list(world: World, part: Part) -> None:
    listed = _asked("invoice", "list", "--all", "--clinic", "south", "--database", world.url)
    stated = {row["Id"]: row["LINE_TOTAL"] for row in part.rows["encounters.csv"]}
    assert {each["source"]: each["total"] for each in listed} == stated
    assert all((each["amount_due"], each["status"], each["currency"]) == ("0.00", "paid", "USD") for each in listed)
    assert len({each["number"] for each in listed}) == len(stated)


def _asked(*command: str) -> Any:
    result = CliRunner(catch_exceptions=False).invoke(Frame(), ["--json", *command])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def _invoices(world: World) -> int:
    return world.read(lambda tx: tx.session.scalar(select(func.count()).select_from(Invoice)) or 0, clinic="south")


def _rows_of(world: World, clinic: str) -> dict[str, int]:
    tables = [name for name, columns in _columns(world).items() if "clinic_id" in columns and name not in AUDIT]
    return {name: _count(world, name, clinic) for name in tables}


def _dump(world: World) -> dict[str, Any]:
    return {name: rows for name, rows in world.dump().items() if name not in AUDIT}


def _columns(world: World) -> dict[str, list[str]]:
    found = inspect(world.admin)
    return {name: [column["name"] for column in found.get_columns(name)] for name in found.get_table_names() if not PART.fullmatch(name)}


def _count(world: World, table: str, clinic: str) -> int:
    counted = text(f'SELECT count(*) FROM "{table}" WHERE clinic_id = (SELECT clinic_id FROM clinic_code WHERE code = :code)')
    with world.admin.connect() as connection:
        return int(connection.execute(counted, {"code": clinic}).scalar_one())


def _read(path: Path) -> Rows:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _expected(part: Part) -> dict[str, Any]:
    """Compute from the files what the import must come to."""
    departments: dict[str, list[Decimal]] = {"consultation": [], "pharmacy": [], "laboratory": []}
    methods: dict[str, list[Decimal]] = defaultdict(list)
    years: dict[int, list[Decimal]] = defaultdict(list)
    for visit in part.rows["encounters.csv"]:
        fees = [Decimal(visit["BASE_ENCOUNTER_COST"]), *(Decimal(row["BASE_COST"]) for row in part.of(visit["Id"], "procedures.csv"))]
        sold = [Decimal(row["BASE_COST"]) * Decimal(row["DISPENSES"]) for row in part.of(visit["Id"], "medications.csv")]
        sold += [Decimal(row["BASE_COST"]) for row in part.of(visit["Id"], "immunizations.csv")]
        departments["consultation"] += fees
        departments["pharmacy"] += sold
        departments["laboratory"] += [Decimal(0)] * len(part.measured(visit["Id"]))
        total = sum(fees + sold, Decimal(0))
        assert total == Decimal(visit["LINE_TOTAL"])
        by_transfer = min(Decimal(visit["PAYER_COVERAGE"]), total)
        methods["transfer"] += [by_transfer] if by_transfer else []
        methods["cash"] += [total - by_transfer] if total > by_transfer else []
        years[datetime.fromisoformat(visit["START"]).astimezone(ZoneInfo(ZONE)).year].append(total)
    return {
        "invoices": len(part.rows["encounters.csv"]),
        "total": sum(map(sum, years.values())),
        "departments": {name: (len(items), sum(items)) for name, items in departments.items()},
        "methods": {name: (len(tenders), sum(tenders)) for name, tenders in methods.items()},
        "years": {year: (len(totals), sum(totals)) for year, totals in years.items()},
    }


def _shown(summary: ImportSummary) -> dict[str, Any]:
    assert summary.invoices_paid == summary.invoices
    assert summary.paid_minor == summary.total_minor
    assert all(each.paid_minor == each.total_minor for each in summary.by_department)
    assert all(each.paid_minor == each.total_minor for each in summary.by_year)
    return {
        "invoices": summary.invoices,
        "total": Decimal(summary.total_minor).scaleb(-2),
        "departments": {each.department: (each.items, Decimal(each.total_minor).scaleb(-2)) for each in summary.by_department},
        "methods": {each.method: (each.tenders, Decimal(each.amount_minor).scaleb(-2)) for each in summary.by_method},
        "years": {each.year: (each.invoices, Decimal(each.total_minor).scaleb(-2)) for each in summary.by_year},
    }


def _not_measured(part: Part) -> dict[tuple[str, str], int]:
    codes = Counter(row["CODE"] for row in part.rows["lab_observations.csv"])
    return {("observation", code): count for code, count in codes.items() if code in NOT_MEASURED}
