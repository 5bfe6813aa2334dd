"""Writes the figures of a full run of the faults into docs/proof.md: python tools/proof.py build/faults.xml docs/proof.md."""

import platform
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from os import cpu_count
from pathlib import Path
from xml.etree import ElementTree as ET

BEGIN, END = "<!-- figures: written by make faults -->", "<!-- end of figures -->"


def figures(report: Path) -> Iterator[tuple[str, str, str, str]]:
    """Yield row, test, outcome and figures of every test in a JUnit report."""
    for case in ET.parse(report).getroot().iter("testcase"):  # noqa: S314 - our own file
        told = [(each.get("name", ""), each.get("value", "")) for each in case.iter("property")]
        row = next((value for name, value in told if name == "row"), None)
        bad = case.find("failure") is not None or case.find("error") is not None
        outcome = "failed" if bad else "skipped" if case.find("skipped") is not None else "passed"
        if row or outcome != "passed":
            shown = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in told if name != "row")
            yield row or "-", case.get("name", ""), outcome, shown or "-"


def main(report: Path, page: Path) -> None:
    """Replace the table between the two marks of the page."""
    text = page.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, behind = rest.partition(END)
    machine = f"{platform.system()} {platform.machine()}, {cpu_count()} cores, Python {platform.python_version()}"
    lines = [
        f"Last full run: {datetime.now(UTC):%Y-%m-%d}, {machine}.",
        "",
        "| row | test | outcome | figures |",
        "| --- | --- | --- | --- |",
    ]
    lines += [f"| {row} | {name.removeprefix('test_').replace('_', ' ')} | {outcome} | {shown} |" for row, name, outcome, shown in
              sorted(figures(report))]  # fmt: skip
    page.write_text(f"{before}{BEGIN}\n" + "\n".join(lines) + f"\n{END}{behind}", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
