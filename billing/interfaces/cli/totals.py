"""The command `totals`: computes the documents of a JSON file and says where they state other totals; knows nothing of the database."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from billing.interfaces.cli import render
from billing.interfaces.cli.console import Console
from billing.money import format_amount, format_rate

if TYPE_CHECKING:
    from billing.rules.cases import Case
    from billing.rules.totals import Totals

DIFFERENCES_EXIT_CODE = 1


@dataclass(frozen=True, slots=True)
class ComputedCase:
    """A case, our totals of it, and where they differ from what it states."""

    case: "Case"
    totals: "Totals"
    differences: list[str]

    def amount(self, minor: int) -> str:
        """Write an amount of this document, such as "146.76"."""
        return format_amount(minor, self.case.currency)


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.pass_context
def totals(context: click.Context, file: Path) -> None:
    """Compute the totals of the documents in FILE and compare them with those it states.

    FILE is a JSON list of documents in the format of the public EN 16931 examples. The exit code is 1 if any total differs.
    """
    console = context.find_object(Console)
    assert console is not None, "the frame makes one"
    computed = compute_file(file)
    console.out(render.as_json(as_json(computed)) if console.wants_json else as_text(computed))
    if any(each.differences for each in computed):
        context.exit(DIFFERENCES_EXIT_CODE)


def compute_file(file: Path) -> list[ComputedCase]:
    """Read and compute all cases of a file; raises BadCaseFile."""
    from billing.rules.cases import read_cases

    cases = [(case, case.compute()) for case in read_cases(file)]
    return [ComputedCase(case, computed, case.differences(computed)) for case, computed in cases]


def as_json(computed: Sequence[ComputedCase]) -> list[dict[str, object]]:
    """Give the documents as values for JSON, all numbers as decimal texts."""
    return [
        {
            "source": each.case.source,
            "kind": each.case.kind,
            "currency": each.case.currency.code,
            "lines": [
                {
                    "net": each.amount(line.net_minor),
                    "adjustment": each.amount(line.adjustment_minor),
                    "taxable": each.amount(line.taxable_minor),
                    "tax": each.amount(line.tax_minor),
                    "total": each.amount(line.total_minor),
                }
                for line in each.totals.lines
            ],
            "tax": [
                {
                    "category": row.tax.category,
                    "rate": format_rate(row.tax.rate_bp),
                    "taxable": each.amount(row.taxable_minor),
                    "tax": each.amount(row.tax_minor),
                }
                for row in each.totals.taxes
            ],
            **_amounts(each),
            "ok": not each.differences,
            "differences": each.differences,
        }
        for each in computed
    ]


def as_text(computed: Sequence[ComputedCase]) -> str:
    """Give the documents as text for people, and a closing line that counts those which differ."""
    differing = sum(1 for each in computed if each.differences)
    blocks = ["\n".join(_text_lines(each)) for each in computed]
    return "\n\n".join([*blocks, f"{len(computed)} computed, {differing} with differences."])


def _amounts(computed: ComputedCase) -> dict[str, str]:
    return {name: computed.amount(minor) for name, minor in computed.case.amounts(computed.totals).items()}


def _text_lines(computed: ComputedCase) -> Iterator[str]:
    yield f"{computed.case.source} ({computed.case.kind}, {computed.case.currency.code})"
    for row in computed.totals.taxes:
        yield f"  {f'tax {row.tax}':<16}{computed.amount(row.tax_minor):>18} on {computed.amount(row.taxable_minor)}"
    for name, amount in _amounts(computed).items():
        yield f"  {name.replace('_', ' '):<16}{amount:>18}"
    yield from (f"  differs: {difference}" for difference in computed.differences)
    if not computed.differences:
        yield "  ok"
