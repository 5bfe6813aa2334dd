"""The import of a Synthea export: encounters in a second, statements for each, and the memory it takes, on both databases.

BILLING_SHARED_DATA names the folder that holds `synthea/`; without it there is nothing to import.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from sqlalchemy import event

from bench.clinic import database_on, open_bench, prepare, running_server
from bench.report import Section, Table
from billing import clock
from billing.services import clinics
from billing.services.imports.run import import_export
from billing.services.imports.synthea import read_export
from billing.services.setup import OPERATOR_LOGIN

CLINIC = "synthea"
COUNTED = 200
"""Visits whose statements are counted, in a run of their own: counting costs time."""


def measure(rounds: int) -> Section:
    """Return the table of imports: one whole run on each database, since a run is long."""
    with tempfile.TemporaryDirectory() as folder, running_server() as server:
        rows = []
        for kind in ("SQLite", "PostgreSQL"):
            said = {}
            for name, visits in (("whole", 0), ("counted", COUNTED)):
                url = f"sqlite:///{folder}/{name}.sqlite3" if kind == "SQLite" else database_on(server, name)
                if kind == "SQLite":
                    prepare(url)
                done = subprocess.run([sys.executable, "-m", "bench.imports", url, str(visits)], capture_output=True, text=True, check=True)
                said[name] = json.loads(done.stdout)
            whole, counted = said["whole"], said["counted"]
            rows.append(
                (
                    kind,
                    f"{whole['visits']}",
                    f"{whole['seconds']:.1f}",
                    f"{whole['visits'] / whole['seconds']:.0f}",
                    f"{whole['cpu'] / whole['visits'] * 1000:.1f}",
                    f"{counted['statements'] / counted['visits']:.0f}",
                    f"{whole['peak_mb']:.0f}",
                )
            )
    head = ("database", "encounters", "seconds", "encounters/s", "client CPU-ms each", "statements each", "peak MB")
    return Section(
        "imports",
        "Import of a Synthea export",
        f"Every encounter becomes a closed consultation, an invoice and its payments. Statements are counted over the first {COUNTED} encounters.",
        [Table(head, rows)],
    )


def _alone(url: str, most: int) -> dict[str, Any]:
    """Import in this process; with `most`, so many visits only, and count the statements."""
    database = open_bench(url)
    database.run(
        lambda tx: clinics.create_clinic(tx, code=CLINIC, name="Synthea", currency_code="USD", time_zone="America/Los_Angeles"),
        actor=OPERATOR_LOGIN,
    )
    database.dispose()
    export = read_export(Path(os.environ["BILLING_SHARED_DATA"], "synthea"), now=clock.now())
    if most:
        export = replace(export, visits=export.visits[:most])
    with tempfile.NamedTemporaryFile("r") as trace, Path(trace.name).open("w") as file:
        sent: list[str] = []
        if most:
            event.listen(database.engine, "connect", lambda driver, _: _listen(driver, file, sent))
        began, cpu = time.perf_counter(), time.process_time()
        import_export(database, export=export, clinic=CLINIC, actor=OPERATOR_LOGIN)
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
        database.dispose()
        on_wire = sum("\tF\t" in line and ("\tExecute" in line or "\tQuery" in line) for line in trace)
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"visits": len(export.visits), "seconds": seconds, "cpu": cpu, "statements": len(sent) or on_wire, "peak_mb": peak_mb}


def _listen(driver: Any, file: Any, sent: list[str]) -> None:
    if hasattr(driver, "set_trace_callback"):
        driver.set_trace_callback(sent.append)
    else:
        driver.pgconn.trace(file.fileno())


if __name__ == "__main__":
    print(json.dumps(_alone(sys.argv[1], int(sys.argv[2]))))
