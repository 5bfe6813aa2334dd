"""G6 and G7: what a large database costs. Two sizes, filled in big sets, and the same questions put to both."""

import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bench.cashiers import ServiceCashier, Work, settle, works
from bench.clinic import BenchClinic, bill, database_on, found, open_bench, running_server
from bench.fill import copy_invoice, read_template
from bench.report import Section, Table
from billing.database import Database
from billing.services import audit, consultations, doctor, exports, listing, patients, reading
from billing.services.setup import OPERATOR_LOGIN
from billing.services.staff import find_provider
from billing.transaction import Transaction

SMALL, LARGE = 10_000, int(os.environ.get("BENCH_INVOICES", "1000000"))
CLINIC = "north"
DAYS = 300
REPEATS = 21

QUESTIONS: Mapping[str, Callable[[Transaction], Any]] = {
    "list of invoices, first page": listing.list_invoices,
    "list of invoices, a page in the middle": lambda tx: listing.list_invoices(tx, after=_middle(tx)),
    "sent invoices": lambda tx: listing.list_invoices(tx, status="sent"),
    "overdue invoices": lambda tx: listing.list_invoices(tx, status="overdue"),
    "list of payments": listing.list_payments,
    "list of consultations": consultations.list_consultations,
    "list of patients": patients.list_patients,
    "an invoice by its number": lambda tx: reading.read_invoice(tx, invoice=f"INV-{tx.business_date:%Y}-05000"),
    "a payment by its number": lambda tx: reading.read_payment(tx, payment=f"R-{tx.business_date:%Y}-05000"),
    "audit trail, latest": audit.list_entries,
    "audit trail, a page in the middle": lambda tx: audit.list_entries(tx, after=15_000),
    "export of items, first thousand": lambda tx: [row for row, _ in zip(exports.export_items(tx).rows, range(1000), strict=False)],
}


def measure(rounds: int) -> Section:
    """Return the tables of G6 and G7."""
    with running_server() as server:
        urls, filling = {}, {}
        for size in (SMALL, LARGE):
            name = f"growth{size}"
            urls[size] = database_on(server, name)
            began = time.perf_counter()
            fill(urls[size], size)
            filling[size] = time.perf_counter() - began
            settle(urls[size])
        asked = _ask(urls, rounds)
        whole = {size: _whole(urls[size]) for size in urls}
    rows = [(name, *(f"{statistics.median(asked[size][name]):.2f}" for size in urls), _ratio(asked, name)) for name in asked[SMALL]]
    wholes = [(name, *(whole[size][name] for size in urls)) for name in whole[SMALL]]
    sizes = tuple(f"{size:,} invoices" for size in urls)
    return Section(
        "growth",
        f"G6: {LARGE:,} invoices against {SMALL:,}",
        f"Filled by sets of rows in {filling[LARGE]:.0f} s ({LARGE / filling[LARGE]:.0f} invoices/s, each with item, tax, payment, tender, effect, share, "
        f"events and 3 links of the audit chain); what the doctor says of it stands below. Medians of {rounds} rounds of {REPEATS}, in turns. "
        "Goals: payment at most 1.05, a page at most 1.2.",
        [Table(("question", *(f"{size}, ms" for size in sizes), "ratio"), rows), Table(("whole", *sizes), wholes)],
    )


def fill(url: str, invoices: int) -> None:
    """Make a clinic with so many paid invoices of one visit, and some that are sent."""
    database = open_bench(url)
    clinic = found(database, CLINIC)
    paid, sent = bill(database, clinic, ("VISIT",)), bill(database, clinic, ("VISIT",))
    cashier = ServiceCashier(url)
    cashier.do(_work(database, clinic, paid))
    cashier.close()
    copy_invoice(database, CLINIC, paid, invoices, days=DAYS)
    copy_invoice(database, CLINIC, sent, 500, days=30)
    database.dispose()


def _work(database: Database, clinic: BenchClinic, invoice_id: str) -> Work:
    template = database.read(lambda tx: read_template(tx, invoice_id), actor=OPERATOR_LOGIN, clinic=clinic.code)
    return Work(clinic.code, clinic.id, invoice_id, template.invoice["total_minor"])


def _ask(urls: Mapping[int, str], rounds: int) -> dict[int, dict[str, list[float]]]:
    """Put every question to both databases, in turns; return milliseconds."""
    databases = {size: open_bench(url) for size, url in urls.items()}
    cashiers = {size: ServiceCashier(url) for size, url in urls.items()}
    payable = {size: iter(_payable(database, rounds)) for size, database in databases.items()}
    asked: dict[int, dict[str, list[float]]] = {size: {"payment of 5 items": [], **{name: [] for name in QUESTIONS}} for size in urls}
    for _ in range(rounds):
        for name in asked[SMALL]:
            for size, database in databases.items():
                spent = []
                for _ in range(REPEATS):
                    work = next(payable[size]) if name not in QUESTIONS else None
                    began = time.perf_counter()
                    if work is not None:
                        cashiers[size].do(work)
                    else:
                        database.read(QUESTIONS[name], actor=OPERATOR_LOGIN, clinic=CLINIC)
                    spent.append((time.perf_counter() - began) * 1000)
                asked[size][name].append(statistics.median(spent))
    for opened in (*databases.values(), *(cashier.database for cashier in cashiers.values())):
        opened.dispose()
    return asked


def _payable(database: Database, rounds: int) -> list[Work]:
    clinic_id = database.read(lambda tx: tx.clinic_id, actor=OPERATOR_LOGIN, clinic=CLINIC)
    whose = database.read(lambda tx: listing.list_invoices(tx, limit=1)[0].patient_id, actor=OPERATOR_LOGIN, clinic=CLINIC)
    provider = database.read(lambda tx: find_provider(tx, "Dr. Ines Vogel").id, actor=OPERATOR_LOGIN, clinic=CLINIC)
    return works(database, BenchClinic(CLINIC, clinic_id, whose, provider), rounds * REPEATS)


def _whole(url: str) -> dict[str, str]:
    """Export and examine everything, each in a process of its own; return seconds and peak memory."""
    found_out = {}
    for name in ("export", "doctor"):
        done = subprocess.run([sys.executable, "-m", "bench.growth", name, url], capture_output=True, text=True, check=True)
        found_out[{"export": "export of invoices", "doctor": "doctor, everything recomputed"}[name]] = done.stdout.strip()
    return found_out


def _alone(what: str, url: str) -> str:
    database, began = open_bench(url), time.perf_counter()
    if what == "export":
        with Path(os.devnull).open("w", newline="") as sink:
            rows = database.read(lambda tx: exports.write_csv(exports.export_invoices(tx), sink), actor=OPERATOR_LOGIN, clinic=CLINIC)
        said = f"{rows:,} rows"
    else:
        report = database.read(doctor.examine, actor=OPERATOR_LOGIN, clinic=CLINIC)
        said = (
            "well"
            if report.healthy
            else f"not well: {', '.join(f'{check.name} ({check.error or check.count})' for check in report.broken)}"
        )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return f"{time.perf_counter() - began:.1f} s, {said}, peak {peak:.0f} MB"


def _middle(tx: Transaction) -> listing.InvoiceRow:
    return reading.read_invoice(tx, invoice=f"INV-{tx.business_date:%Y}-05000").invoice


def _ratio(asked: Mapping[int, Mapping[str, list[float]]], name: str) -> str:
    return f"{statistics.median(large / small for large, small in zip(asked[LARGE][name], asked[SMALL][name], strict=True)):.2f}"


if __name__ == "__main__":
    print(_alone(*sys.argv[1:3]))
