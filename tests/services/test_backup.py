"""Backup and restore: one moment of everything, into either database, all of it or nothing."""

import hashlib
import json
import stat
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from sqlalchemy import create_engine, text

from billing import registry
from billing.errors import BillingError, Forbidden
from billing.registry import Registry
from billing.services import backup, backup_file, doctor, staff
from billing.testing.postgres import APPLICATION, OWNER, SUPERUSER, as_role
from billing.testing.shelf import Desk
from billing.testing.world import World

MANIFEST = backup_file.MANIFEST
Members = dict[str, bytes]


@pytest.fixture(scope="module")
def installed() -> Registry:
    return registry.load()


def _open(url: str) -> World:
    return World(url, plugins={"desk": Desk()})


@pytest.fixture
def busy(database_url: str) -> Iterator[World]:
    world = _open(database_url)
    _fill(world)
    yield world
    world.dispose()


def _fill(world: World) -> None:
    """Make two clinics with a paid invoice, an instalment, a draft, and texts that are hard to write."""
    world.found("south", currency="JPY")
    world.service("VIS", price="44.00")
    world.service("AMX", price="30.0125", tax="S 1900")
    world.pay(world.invoice("VIS", "AMX:2.5", source="encounter:1").id, "cash 200")
    world.pay(world.invoice("VIS").id, "transfer 10 T-1", scope="ON_ACCOUNT")
    world.invoice("AMX", note='Zoë "quoted"\n\\tab, {braces} and 100 %')


@pytest.fixture(scope="module")
def backed_up(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return a backup, for tests of what becomes of one."""
    folder = tmp_path_factory.mktemp("backed-up")
    (folder / "source.sqlite3").write_bytes(sqlite_template.read_bytes())
    world = _open(f"sqlite:///{folder / 'source.sqlite3'}")
    _fill(world)
    _back_up(world, folder / "backup")
    world.dispose()
    return (folder / "backup").read_bytes()


@pytest.fixture
def sealed(backed_up: bytes, file: Path) -> Path:
    file.write_bytes(backed_up)
    return file


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "clinic.backup"


@pytest.fixture(params=["sqlite", "postgresql"])
def target(request: pytest.FixtureRequest) -> str:
    """Name an empty database of either kind."""
    return cast("str", request.getfixturevalue(f"empty_{request.param}_url"))


def _back_up(world: World, file: Path, **options: Any) -> backup_file.Manifest:
    return backup.back_up(world.database, actor=world.actor, target=file, **options)


def _content(file: Path) -> dict[str, list[str]]:
    """Return the rows of a backup as texts that don't depend on the database: flags as numbers, in order."""
    with zipfile.ZipFile(file) as archive:
        names = [name for name in archive.namelist() if name != MANIFEST]
        rows = {name: [json.loads(line) for line in archive.read(name).splitlines()] for name in names}
    return {name: sorted(json.dumps([int(v) if isinstance(v, bool) else v for v in row]) for row in found) for name, found in rows.items()}


def _rewrite(file: Path, change: Callable[[Members, dict[str, Any]], None]) -> None:
    """Change what a backup holds: its members, or its manifest."""
    with zipfile.ZipFile(file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    manifest = json.loads(members.pop(MANIFEST))
    change(members, manifest)
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in {**members, MANIFEST: json.dumps(manifest).encode()}.items():
            archive.writestr(name, content)


def _rows(url: str, table: str) -> int:
    engine = create_engine(as_role(url, SUPERUSER))
    with engine.connect() as connection:
        count = int(connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())
    engine.dispose()
    return count


def test_backup_goes_into_either_database_and_says_the_same_there(
    busy: World, file: Path, target: str, installed: Registry, tmp_path: Path
) -> None:
    made = _back_up(busy, file)

    restored = backup.restore(target, source=file, plugins=installed)

    world = _open(target)
    again = tmp_path / "again.backup"
    _back_up(world, again)
    assert restored == made
    assert restored.rows > 50
    assert _content(again) == _content(file)
    assert [world.read(doctor.examine, clinic=clinic).broken for clinic in ("north", "south")] == [(), ()]
    world.dispose()


def test_restored_clinic_goes_on_with_the_next_numbers(sealed: Path, target: str, installed: Registry) -> None:
    backup.restore(target, source=sealed, plugins=installed)
    world = _open(target)

    invoice = world.invoice("VIS")
    payment = world.pay(invoice.id, "cash 44")
    south = world.run(lambda tx: tx.clinic.currency.code, clinic="south")

    assert (str(invoice.number)[-5:], payment.receipt_number[-5:], south) == ("00004", "00003", "JPY")
    assert world.read(doctor.examine).healthy
    world.dispose()


def test_only_its_owner_can_read_the_file(busy: World, file: Path) -> None:
    _back_up(busy, file)

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(file.parent.glob(f".{file.name}*")) == []


def test_file_that_stands_is_replaced_only_if_asked_for(busy: World, file: Path) -> None:
    file.write_text("precious")

    with pytest.raises(backup.BackupExists):
        _back_up(busy, file)

    assert file.read_text() == "precious"
    _back_up(busy, file, force=True)
    assert zipfile.is_zipfile(file)


def test_backup_that_fails_leaves_what_was_there(sqlite_world: World, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    file.write_text("precious")
    monkeypatch.setattr(backup_file, "write_manifest", full)

    with pytest.raises(backup.BackupFailed, match="No space left on device"):
        _back_up(sqlite_world, file, force=True)

    assert file.read_text() == "precious"
    assert [path.name for path in file.parent.glob("*backup*")] == [file.name]


def test_folder_that_is_not_there_is_refused(sqlite_world: World, tmp_path: Path) -> None:
    with pytest.raises(backup.BackupFailed):
        _back_up(sqlite_world, tmp_path / "nowhere" / "clinic.backup")


def test_backup_is_of_one_moment_while_others_go_on(busy: World, file: Path, target: str, installed: Registry) -> None:
    before = _rows(busy.url, "payment")
    seen: list[str] = []

    def work(table: str, rows: int) -> None:
        seen.append(table)
        busy.pay(busy.invoice("VIS").id, "cash 44")

    made = _back_up(busy, file, progress=work)
    backup.restore(target, source=file, plugins=installed)

    world = _open(target)
    assert seen.index("audit_entry") < seen.index("payment")
    assert {each.name: each.rows for each in made.tables}["payment"] == before < _rows(busy.url, "payment")
    assert world.read(doctor.examine).healthy
    world.dispose()


def test_rows_are_read_and_written_in_batches(
    busy: World, file: Path, target: str, installed: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup, "BATCH", 2)
    monkeypatch.setattr(backup_file, "BATCH", 2)
    written: list[tuple[str, int]] = []
    read: list[tuple[str, int]] = []

    made = _back_up(busy, file, progress=lambda *step: written.append(step))
    backup.restore(target, source=file, plugins=installed, progress=lambda *step: read.append(step))

    assert max(count for _, count in written + read) == 2
    assert sum(count for _, count in written) == sum(count for _, count in read) == made.rows


def test_database_with_rows_is_not_restored_into(busy: World, file: Path, installed: Registry) -> None:
    _back_up(busy, file)
    before = busy.dump()

    with pytest.raises(backup.DatabaseNotEmpty):
        backup.restore(busy.url, source=file, plugins=installed)

    assert busy.dump() == before


def _change_a_row(members: Members, manifest: dict[str, Any]) -> None:
    members["tables/tender.jsonl"] = members["tables/tender.jsonl"].replace(b"cash", b"card")


def _drop_a_row(members: Members, manifest: dict[str, Any]) -> None:
    members["tables/tender.jsonl"] = members["tables/tender.jsonl"].partition(b"\n")[2]


def _drop_the_table(members: Members, manifest: dict[str, Any]) -> None:
    del members["tables/tender.jsonl"]


def _write_rubbish(members: Members, manifest: dict[str, Any]) -> None:
    members["tables/tender.jsonl"] = b"rubbish\n"


def _shorten_the_rows(members: Members, manifest: dict[str, Any]) -> None:
    members["tables/tender.jsonl"] = b'["one"]\n'


def _seal(members: Members, manifest: dict[str, Any], table: str, content: bytes) -> None:
    """Write a table so that nothing but the database can tell."""
    members[f"tables/{table}.jsonl"] = content
    (stored,) = [each for each in manifest["tables"] if each["name"] == table]
    stored |= {"rows": content.count(b"\n"), "sha256": hashlib.sha256(content).hexdigest()}


def _break_a_reference(members: Members, manifest: dict[str, Any]) -> None:
    lost = members["tables/payment.jsonl"].splitlines()[0]
    _seal(
        members,
        manifest,
        "tender",
        members["tables/tender.jsonl"].replace(json.loads(lost)[1].encode(), b"0" * 8 + b"-0000" * 3 + b"-" + b"0" * 12),
    )


def _write_a_word_for_an_amount(members: Members, manifest: dict[str, Any]) -> None:
    place = next(each["columns"] for each in manifest["tables"] if each["name"] == "tender").index("amount_minor")
    rows = [json.loads(line) for line in members["tables/tender.jsonl"].splitlines()]
    rows[0][place] = "much"
    _seal(members, manifest, "tender", b"".join(json.dumps(row).encode() + b"\n" for row in rows))


@pytest.mark.parametrize(
    "damage",
    [
        _change_a_row,
        _drop_a_row,
        _drop_the_table,
        _write_rubbish,
        _shorten_the_rows,
        _break_a_reference,
        _write_a_word_for_an_amount,
    ],
)
def test_damaged_table_is_named_and_nothing_is_restored(
    sealed: Path, database_url: str, installed: Registry, damage: Callable[[Members, dict[str, Any]], None]
) -> None:
    _rewrite(sealed, damage)

    with pytest.raises(backup_file.BackupDamaged) as caught:
        backup.restore(as_role(database_url, OWNER), source=sealed, plugins=installed)

    assert caught.value.table == "tender"
    assert _rows(database_url, "payment") == 0


def test_restore_can_be_repeated_after_a_damaged_file(sealed: Path, backed_up: bytes, database_url: str, installed: Registry) -> None:
    _rewrite(sealed, _break_a_reference)
    with pytest.raises(backup_file.BackupDamaged):
        backup.restore(as_role(database_url, OWNER), source=sealed, plugins=installed)
    sealed.write_bytes(backed_up)

    backup.restore(as_role(database_url, OWNER), source=sealed, plugins=installed)

    assert _rows(database_url, "payment") == 2


def test_flipped_byte_on_the_disk_is_found(sealed: Path, database_url: str, installed: Registry) -> None:
    with zipfile.ZipFile(sealed) as archive:
        place = archive.getinfo("tables/audit_entry.jsonl").header_offset + 200
    content = bytearray(sealed.read_bytes())
    content[place] ^= 0xFF
    sealed.write_bytes(content)

    with pytest.raises(backup_file.BackupDamaged) as caught:
        backup.restore(as_role(database_url, OWNER), source=sealed, plugins=installed)

    assert caught.value.table == "audit_entry"


def _no_file(file: Path) -> None:
    file.unlink()


def _no_archive(file: Path) -> None:
    file.write_text("Dear diary")


def _cut_off(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


def _no_manifest(file: Path) -> None:
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("tables/tender.jsonl", b"")


def _other_format(file: Path) -> None:
    _rewrite(file, lambda _, manifest: manifest.update(format="billing backup 2"))


def _odd_manifest(file: Path) -> None:
    _rewrite(file, lambda _, manifest: manifest.update(tables=[1, 2]))


@pytest.mark.parametrize("spoil", [_no_file, _no_archive, _cut_off, _no_manifest, _other_format, _odd_manifest])
def test_what_is_no_backup_is_refused(sealed: Path, sqlite_url: str, installed: Registry, spoil: Callable[[Path], None]) -> None:
    spoil(sealed)

    with pytest.raises(backup_file.NoBackup):
        backup.restore(sqlite_url, source=sealed, plugins=installed)


@pytest.mark.parametrize("lineages", [{"core": "core_9999"}, {"surgery": "surgery_0001"}])
def test_backup_of_another_version_or_of_an_absent_plugin_is_refused(
    sealed: Path, sqlite_url: str, installed: Registry, lineages: dict[str, str]
) -> None:
    _rewrite(sealed, lambda _, manifest: manifest["lineages"].update(lineages))
    (lineage,) = lineages

    with pytest.raises(backup.BackupOfOtherVersion) as caught:
        backup.restore(sqlite_url, source=sealed, plugins=installed)

    assert caught.value.lineage == lineage


def test_tables_of_a_plugin_that_is_gone_are_kept(busy: World, file: Path, empty_sqlite_url: str, installed: Registry) -> None:
    with busy.admin.begin() as connection:
        connection.execute(text("CREATE TABLE surgery_table (name TEXT)"))
        connection.execute(text("INSERT INTO surgery_table VALUES ('one'), ('two')"))
        if busy.database.dialect == "postgresql":  # `billing db grant` lets the application read what it does not know
            connection.execute(text(f"GRANT SELECT ON surgery_table TO {APPLICATION}"))

    made = _back_up(busy, file)
    with pytest.raises(BillingError) as caught:
        backup.restore(empty_sqlite_url, source=file, plugins=installed)

    assert {each.name: each.rows for each in made.tables}["surgery_table"] == 2
    assert caught.value.table == "surgery_table"


def test_database_that_can_not_be_reached_is_said_so(sealed: Path, installed: Registry, tmp_path: Path) -> None:
    with pytest.raises(BillingError) as caught:
        backup.restore(f"sqlite:///{tmp_path}", source=sealed, plugins=installed)

    assert caught.value.code == "database_unavailable"


def test_who_may_back_up(sqlite_world: World, file: Path) -> None:
    sqlite_world.run(lambda tx: staff.add_staff(tx, login="ann", name="Ann", role="admin"))

    with pytest.raises(Forbidden):
        backup.back_up(sqlite_world.database, actor="ann", target=file)

    assert not file.exists()
