"""Writes what was measured into docs/performance.md, between markers, so that no figure is typed by hand. Measures nothing."""

import os
import platform
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from billing.testing.postgres import find_binaries

PAGE = Path(__file__).parents[1] / "docs" / "performance.md"


@dataclass(frozen=True, slots=True)
class Table:
    """A table of texts."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]

    def __str__(self) -> str:
        lines = [self.head, ["---"] * len(self.head), *self.rows]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)


@dataclass(frozen=True, slots=True)
class Section:
    """The figures of one topic: a title, how they were made, and tables."""

    name: str
    title: str
    how: str
    tables: Sequence[Table]

    def __str__(self) -> str:
        return "\n\n".join([f"### {self.title}", self.how, *map(str, self.tables), f"*{machine()}*"])


def machine() -> str:
    """Say when and on what the figures were made."""
    said = subprocess.run([find_binaries() / "postgres", "--version"], check=True, capture_output=True, text=True).stdout
    load = os.getloadavg()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("sqlalchemy", "psycopg"))
    return (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {platform.system()} {platform.machine()}, {os.cpu_count()} cores, {memory:.0f} GB, "
        f"load {load[0]:.1f} at the end, Python {platform.python_version()}, PostgreSQL {said.split()[2]}, {versions}"
    )


def write(section: Section) -> None:
    """Put the section between its markers on the page. Raises `ValueError` where the page has none for it."""
    page = PAGE.read_text(encoding="utf-8")
    begin, end = f"<!-- {section.name} -->", f"<!-- end of {section.name} -->"
    found = re.subn(f"{re.escape(begin)}.*?{re.escape(end)}", lambda _: f"{begin}\n\n{section}\n\n{end}", page, count=1, flags=re.DOTALL)
    if not found[1]:
        raise ValueError(f"{PAGE.name} has no place for {section.name}: add the markers {begin} and {end}.")
    PAGE.write_text(found[0], encoding="utf-8")
