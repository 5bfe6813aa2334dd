"""The file of a backup: a ZIP archive with a text file for each table, one JSON array a row, and a manifest with counts and checksums.

It notices every row that is not as it was written. It knows no database.
"""

import hashlib
import json
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from billing import __name__ as product
from billing.errors import Invalid

FORMAT = f"{product} backup 1"
MANIFEST = "manifest.json"
BATCH = 1000

Batch = Sequence[Sequence[Any]]
"""Some rows of a table, each the values of its columns: texts, whole numbers, flags and nothing."""

Progress = Callable[[str, int], None]
"""Called with a table's name and the number of its rows that were just written or read."""


class NoBackup(Invalid):
    """The file can't be read as a backup. Facts: `path`, `reason`."""

    code = "no_backup"


class BackupDamaged(Invalid):
    """A table in the backup is not as it was written, so nothing was restored. Facts: `table`, `reason`."""

    code = "backup_damaged"


@dataclass(frozen=True, slots=True)
class StoredTable:
    """A table in a backup: its columns in the order of the rows, how many rows, and the SHA-256 of their text."""

    name: str
    columns: tuple[str, ...]
    rows: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup says about itself. `lineages` are the migrations that its tables stand at, by core or plugin."""

    made_at: str
    dialect: str
    lineages: Mapping[str, str]
    tables: tuple[StoredTable, ...]

    @property
    def rows(self) -> int:
        """The number of rows of all tables."""
        return sum(each.rows for each in self.tables)


def write_table(archive: zipfile.ZipFile, name: str, columns: Sequence[str], batches: Iterable[Batch], progress: Progress) -> StoredTable:
    """Write a table's rows, in constant memory."""
    digest, count = hashlib.sha256(), 0
    with archive.open(_member(name), "w", force_zip64=True) as file:
        for batch in batches:
            lines = b"".join(json.dumps(list(row)).encode("ascii") + b"\n" for row in batch)
            file.write(lines)
            digest.update(lines)
            count += len(batch)
            progress(name, len(batch))
    return StoredTable(name, tuple(columns), count, digest.hexdigest())


def write_manifest(archive: zipfile.ZipFile, manifest: Manifest) -> None:
    """Write the manifest, last: a file without one is no backup."""
    archive.writestr(MANIFEST, json.dumps({"format": FORMAT, **asdict(manifest)}, indent=1))


def read_manifest(archive: zipfile.ZipFile, source: Path) -> Manifest:
    """Return what the backup says about itself. Raises `NoBackup`."""
    try:
        return _manifest(json.loads(archive.read(MANIFEST)))
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise NoBackup(f"{source} is no complete backup ({error}): choose another file.", path=str(source), reason=str(error)) from error


def read_table(archive: zipfile.ZipFile, stored: StoredTable, progress: Progress) -> Generator[Batch, None, None]:
    """Yield a table's rows, in constant memory. Raises `BackupDamaged`, at the latest behind the last row, if they are not as written.

    Close it where it may not be read to its end: it holds the file open.
    """
    digest, count = hashlib.sha256(), 0
    try:
        with archive.open(_member(stored.name)) as file:
            while lines := list(islice(file, BATCH)):
                digest.update(b"".join(lines))
                count += len(lines)
                yield [_row(line, stored) for line in lines]
                progress(stored.name, len(lines))
    except (KeyError, ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise damaged(stored.name, str(error)) from error
    if (count, digest.hexdigest()) != (stored.rows, stored.sha256):
        raise damaged(stored.name, f"it has {count} rows of {stored.rows}, or others than were written")


def verify(archive: zipfile.ZipFile, manifest: Manifest) -> None:
    """Read everything once. Raises `BackupDamaged`."""
    for stored in manifest.tables:
        for _ in read_table(archive, stored, silent):
            pass


def silent(table: str, rows: int) -> None:
    """Tell nobody of the progress."""
    del table, rows


def damaged(name: str, reason: str) -> BackupDamaged:
    """Return the error for a table that can't be restored."""
    return BackupDamaged(
        f"The table {name} in the backup is damaged ({reason}): nothing was restored. Take another backup.", table=name, reason=reason
    )


def _manifest(said: dict[str, Any]) -> Manifest:
    if said.pop("format") != FORMAT:
        raise ValueError("its manifest has a format that this version does not know")
    tables = tuple(StoredTable(**{**each, "columns": tuple(each["columns"])}) for each in said.pop("tables"))
    return Manifest(**said, tables=tables)


def _row(line: bytes, stored: StoredTable) -> list[Any]:
    row = json.loads(line)
    if not isinstance(row, list) or len(row) != len(stored.columns):
        raise ValueError("a row does not have its columns")
    return row


def _member(name: str) -> str:
    return f"tables/{name}.jsonl"
