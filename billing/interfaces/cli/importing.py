"""`billing import`: visits of another system, billed and paid as they were. It reads the folder and shows what came of it."""

import time
from pathlib import Path

import click

from billing.interfaces.cli import render
from billing.interfaces.cli.console import Console


@click.group("import")
def importing() -> None:
    """Records of another system."""


@importing.command()
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@click.pass_obj
def synthea(console: Console, folder: Path) -> None:
    """Import the Synthea CSV export in DIR: every encounter becomes a closed consultation and one invoice, paid.

    It can be stopped at any moment and run again: it goes on where it was, and nothing is doubled.
    """
    from billing import clock
    from billing.services.imports.run import import_export
    from billing.services.imports.summary import summarize_imports
    from billing.services.imports.synthea import read_export

    started_ns = time.monotonic_ns()
    export = read_export(folder, now=clock.now())
    with console.progress("Importing visits", total=len(export.visits)) as done:
        skipped = import_export(console.database, export=export, clinic=console.clinic, actor=console.actor, done=done)
    summary, currency = console.read(lambda tx: (summarize_imports(tx), tx.clinic.currency))
    shown = {
        "clinic": console.clinic,
        "currency": currency.code,
        "visits": len(export.visits),
        **render.fields(summary, currency),
        "skipped": [render.fields(each, currency) for each in skipped],
        "records_skipped": sum(each.count for each in skipped),
        "seconds": f"{(time.monotonic_ns() - started_ns) // 10**8 / 10:.1f}",
    }
    console.show(shown)
