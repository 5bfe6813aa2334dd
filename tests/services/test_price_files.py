from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from io import BytesIO, StringIO
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from billing import clock
from billing.model import AuditEntry
from billing.money import MAX_UNIT_PRICE_E4
from billing.services import price_files, prices
from billing.services.price_files import BadPriceFile, PricesImported
from billing.testing.world import World
from billing.transaction import PermissionMissing, Transaction

T = TypeVar("T")

HEADER = "code,department,description,unit,unit_price,currency,tax_category,tax_rate,active"
XRAY = "XRAY,desk,X-ray,each,30.00,EUR,S,19,yes"

Beside = Callable[[Callable[[Transaction], Any], Callable[[Transaction], Any]], Future[Any]]


def load(tx: Transaction, content: str | bytes) -> PricesImported:
    return price_files.import_prices(tx, stream=BytesIO(content.encode() if isinstance(content, str) else content))


def write(tx: Transaction) -> str:
    stream = StringIO(newline="")
    price_files.export_prices(tx, stream=stream)
    return stream.getvalue()


def tried(world: World, unit: Callable[[Transaction], T], clinic: str = "north") -> T:
    """Run a unit and undo it, so that every example begins with an empty list."""

    class Undo(Exception):
        pass

    results: list[T] = []

    def undone(tx: Transaction) -> None:
        results.append(unit(tx))
        tx.flush()
        raise Undo

    with suppress(Undo):
        world.run(undone, clinic=clinic)
    return results[0]


def file_of(*lines: str) -> str:
    return "\r\n".join([HEADER, *lines, ""])


def services(world: World) -> dict[str, prices.ServiceFacts]:
    return {each.code: each for each in world.read(partial(prices.list_services, retired=True, limit=1000))}


def test_file_becomes_the_price_list(world: World) -> None:
    result = world.run(partial(load, content=file_of(XRAY, "OLD,shelf,Old thing,ml,0.000001,EUR,O,0,no")))

    found = services(world)
    assert result == PricesImported(new=2, changed=0, same=0)
    assert found["XRAY"] == prices.ServiceFacts(found["XRAY"].id, "XRAY", "desk", "X-ray", "each", 30_000_000, "S", 1900, active=True)
    assert found["OLD"] == prices.ServiceFacts(found["OLD"].id, "OLD", "shelf", "Old thing", "ml", 1, "O", 0, active=False)
    history = world.read(partial(prices.price_history, code="XRAY"))
    assert [(each.unit_price_e4, each.tax_category, each.tax_rate_bp) for each in history] == [(30_000_000, "S", 1900)]


def test_exported_file_imported_again_changes_nothing(world: World) -> None:
    world.run(partial(load, content=file_of(XRAY, "OLD,shelf,=1+1,ml,0.000001,EUR,O,0,no")))
    before = services(world)
    exported = world.read(write)

    result = world.run(partial(load, content=exported))

    assert result == PricesImported(new=0, changed=0, same=2)
    assert services(world) == before
    assert len(world.read(partial(prices.price_history, code="XRAY"))) == 1


def test_file_changes_what_differs_and_leaves_the_rest(world: World) -> None:
    world.run(partial(load, content=file_of(XRAY, "VAC,desk,Vaccine,each,10.00,EUR,O,0,yes", "CAST,desk,Cast,each,5.00,EUR,O,0,yes")))
    before = services(world)

    changed = file_of("XRAY,desk,X-ray,each,31.00,EUR,S,19,yes", "VAC,shelf,Vaccine of a cat,dose,10.00,EUR,O,0,no")
    result = world.run(partial(load, content=changed))

    after = services(world)
    assert result == PricesImported(new=0, changed=2, same=0)
    assert (after["XRAY"].id, after["XRAY"].unit_price_e4) == (before["XRAY"].id, 31_000_000)
    assert (after["VAC"].department, after["VAC"].description, after["VAC"].unit, after["VAC"].active) == (
        "shelf",
        "Vaccine of a cat",
        "dose",
        False,
    )
    assert after["CAST"] == before["CAST"]
    assert [len(world.read(partial(prices.price_history, code=code))) for code in ("XRAY", "VAC")] == [2, 1]


def test_import_is_one_audit_entry_with_its_counts_and_codes(world: World) -> None:
    world.run(partial(load, content=file_of(XRAY)))
    world.run(partial(load, content=file_of(XRAY.replace("30.00", "31.00"), "VAC,desk,Vaccine,each,10.00,EUR,O,0,yes")))

    entries = world.read(lambda tx: tx.session.scalars(select(AuditEntry.data).where(AuditEntry.action == "prices.imported")).all())
    assert [{name: value for name, value in each.items() if name != "file_sha256"} for each in entries] == [
        {"new": 1, "changed": 0, "same": 0, "codes": []},
        {"new": 1, "changed": 1, "same": 0, "codes": ["XRAY"]},
    ]
    assert entries[0]["file_sha256"] != entries[1]["file_sha256"]


def test_export_guards_what_a_spreadsheet_would_calculate(world: World) -> None:
    world.run(partial(prices.add_service, code="X", department="desk", description="=HYPERLINK(1)", unit="@each", unit_price_e4=1_250_000))

    assert world.read(write) == f"{HEADER}\r\nX,desk,'=HYPERLINK(1),'@each,1.25,EUR,O,0,yes\r\n"


def test_columns_may_stand_in_any_order_with_empty_lines_between(world: World) -> None:
    content = "\ufeffactive,tax_rate,tax_category,currency,unit_price,unit,description,department,code\n\nYES,7.5,S,EUR,2,each,X-ray,desk,X\n,,,,,,,,\n"

    assert world.run(partial(load, content=content)) == PricesImported(new=1, changed=0, same=0)
    assert services(world)["X"].tax_rate_bp == 750


@pytest.mark.parametrize(
    ("line", "column", "words"),
    [
        (XRAY.replace("30.00", "NaN"), "unit_price", "is no unit price in EUR"),
        (XRAY.replace("30.00", "-1"), "unit_price", "can't be negative"),
        (XRAY.replace("30.00", "1e3"), "unit_price", "is no unit price in EUR"),
        (XRAY.replace("30.00", '"30,00"'), "unit_price", "plain digits"),
        (XRAY.replace("30.00", "0.0000001"), "unit_price", "at most 6 decimals"),
        (XRAY.replace("30.00", "9" * 30), "unit_price", "too large"),
        (XRAY.replace("30.00", ""), "unit_price", "is no unit price"),
        (XRAY.replace("EUR", "USD"), "currency", "the clinic's prices are in EUR, not in 'USD'"),
        (XRAY.replace("desk", "roof"), "department", "the clinic has desk, shelf"),
        (XRAY.replace("XRAY", "X RAY"), "code", "can't be used"),
        (XRAY.replace("XRAY", ""), "code", "can't be used"),
        (XRAY.replace("X-ray", ""), "description", "is empty"),
        (XRAY.replace("X-ray", "x" * 100_000), "description", "500 are allowed"),
        (XRAY.replace("X-ray", "a\0b"), "description", r"U\+0000"),
        (XRAY.replace("each", '"two\nlines"'), "unit", "more than one line"),
        (XRAY.replace("S,19", "Q,19"), "tax_category", "is no tax category"),
        (XRAY.replace("S,19", "O,19"), "tax_category", "must be 0"),
        (XRAY.replace("19", "101"), "tax_rate", "between 0 and 100"),
        (XRAY.replace("19", "inf"), "tax_rate", "is no tax rate"),
        (XRAY.replace("yes", "true"), "active", "neither yes nor no"),
        ("XRAY2" + XRAY[4:] + "\r\n" + "XRAY2" + XRAY[4:], "code", "XRAY2 stands in line 3 already"),
    ],
)
def test_cell_that_does_not_fit_is_named_and_nothing_is_stored(sqlite_world: World, line: str, column: str, words: str) -> None:
    with pytest.raises(BadPriceFile, match=words) as refused:
        sqlite_world.run(partial(load, content=file_of("OK" + XRAY[4:], line)))

    at = 4 if "already" in words else 3
    assert (refused.value.facts["line"], refused.value.facts["column"]) == (at, column)
    assert refused.value.sentence.startswith(f"Line {at}, column {column}: ")
    assert services(sqlite_world) == {}


@pytest.mark.parametrize(
    ("content", "line", "words"),
    [
        (b"", 1, "must name the columns"),
        (b"\n\n", 1, "must name the columns"),
        (b"code,price\nX,1\n", 1, "must name the columns"),
        ((HEADER + ",code\n").encode(), 1, "must name the columns"),
        (HEADER.replace(",", ";").encode(), 1, "separated by commas"),
        (file_of("A,desk,B").encode(), 2, "it has 3 cells, not 9"),
        (file_of(XRAY + ",more").encode(), 2, "it has 10 cells, not 9"),
        (file_of(XRAY, "A,desk,Röntgen").encode("latin-1"), 3, "not UTF-8"),
        (file_of(XRAY).encode("utf-16"), 1, "not UTF-8"),
        (file_of(XRAY, 'A,"desk,never closed').encode(), 3, "can't be read as CSV"),
        (file_of(XRAY, "A,desk," + "x" * 1_000_000).encode(), 3, "can't be read as CSV"),
    ],
)
def test_file_that_can_not_be_read_is_refused_by_its_line(sqlite_world: World, content: bytes, line: int, words: str) -> None:
    with pytest.raises(BadPriceFile, match=words) as refused:
        sqlite_world.run(partial(load, content=content))

    assert refused.value.facts["line"] == line
    assert services(sqlite_world) == {}


def test_line_is_counted_in_the_file_not_in_records(sqlite_world: World) -> None:
    content = file_of('A,desk,"two\nlines",each,1,EUR,O,0,yes', XRAY.replace("EUR", "USD"))

    with pytest.raises(BadPriceFile, match="Line 4, column currency"):
        sqlite_world.run(partial(load, content=content))


def test_file_that_is_too_large_is_refused_without_reading_it(sqlite_world: World) -> None:
    class Endless(BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            assert size is not None
            assert 0 < size < 20_000_000
            return b"x" * size

    with pytest.raises(BadPriceFile, match="larger than 10 MB"):
        sqlite_world.run(lambda tx: price_files.import_prices(tx, stream=Endless()))


def test_failure_after_the_file_leaves_nothing_behind(world: World) -> None:
    class Stop(Exception):
        pass

    def unit(tx: Transaction) -> None:
        load(tx, file_of(XRAY))
        tx.flush()
        raise Stop

    with pytest.raises(Stop):
        world.run(unit)

    assert services(world) == {}


def test_price_is_not_imported_behind_a_newer_one(world: World) -> None:
    noon = datetime(2026, 5, 1, 12, tzinfo=UTC)
    with clock.fixed(noon):
        world.run(partial(load, content=file_of(XRAY)))

    with clock.fixed(noon + timedelta(hours=1)), pytest.raises(prices.PriceInThePast):
        world.run(partial(load, content=file_of(XRAY.replace("30.00", "1"))), at=noon - timedelta(seconds=1))


def test_file_imported_twice_at_once_is_imported_once(world: World, beside: Beside) -> None:
    unit = partial(load, content=file_of(XRAY))

    second = beside(unit, unit)

    # SQLite makes the second one wait until it sees the first; PostgreSQL finds the code taken.
    assert second.exception() is not None or second.result() == PricesImported(new=0, changed=0, same=1)
    assert len(world.read(partial(prices.price_history, code="XRAY"))) == 1


def test_import_waits_for_a_change_of_price_and_then_sees_it(world: World, beside: Beside) -> None:
    world.run(partial(load, content=file_of(XRAY)))

    second = beside(partial(prices.change_price, code="XRAY", unit_price_e4=1), partial(load, content=file_of(XRAY)))

    assert second.result() == PricesImported(new=0, changed=1, same=0)
    assert [each.unit_price_e4 for each in world.read(partial(prices.price_history, code="XRAY"))] == [30_000_000, 1, 30_000_000]


def test_permissions_of_files(world: World, hire: Callable[[str], str]) -> None:
    for role in ("cashier", "clinician", "admin"):
        login = hire(role)
        with pytest.raises(PermissionMissing):
            world.run(partial(load, content=file_of(XRAY)), actor=login)
        with pytest.raises(PermissionMissing):
            world.read(write, actor=login)

    manager, auditor = hire("manager"), hire("auditor")
    assert world.run(partial(load, content=file_of(XRAY)), actor=manager).new == 1
    assert XRAY in world.read(write, actor=auditor)


def test_currency_without_decimals_is_written_without(world: World) -> None:
    world.found("tokyo", currency="JPY")
    content = file_of("A,desk,A,each,1240,JPY,O,0,yes", "B,desk,B,each,0.5,JPY,O,0,yes")

    world.run(partial(load, content=content), clinic="tokyo")

    assert world.read(write, clinic="tokyo") == content


def test_ten_thousand_services_come_and_change(world: World) -> None:
    def many(price: str) -> str:
        return file_of(*(f"S{place:05},desk,Service {place},each,{price},EUR,O,0,yes" for place in range(10_000)))

    added = world.run(partial(load, content=many("1.00")))
    changed = world.run(partial(load, content=many("2.00")))

    assert (added, changed) == (PricesImported(10_000, 0, 0), PricesImported(0, 10_000, 0))
    assert world.read(write) == many("2.00")


PRINTABLE = st.characters(exclude_categories=("Cc", "Cs"))
FORMULA_LIKE = st.builds(
    "{}{}".format, st.sampled_from(["=", "+", "-", "@", "'", "''=", '"', "＝", "\u200b=", "%", "|"]), st.text(PRINTABLE, max_size=20)
)
TEXTS = (st.text(PRINTABLE, max_size=40) | FORMULA_LIKE | st.just("two\nlines, and\n'=more")).filter(str.strip)
LINES = TEXTS.filter(lambda text: len(text.strip()) <= 30 and not {"\n", "\u2028", "\u2029"} & set(text.strip()))
CODES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,10}", fullmatch=True)
TAXES = st.tuples(st.just("S"), st.integers(0, 10_000)) | st.tuples(st.sampled_from("ZEOKG"), st.just(0))


@given(
    st.dictionaries(CODES, st.tuples(TEXTS, LINES, st.integers(0, MAX_UNIT_PRICE_E4), TAXES, st.booleans()), min_size=1, max_size=5),
    st.sampled_from(["north", "south"]),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_price_list_survives_the_way_out_and_in(world: World, entries: dict[str, Any], clinic: str) -> None:
    def made_by_hand(tx: Transaction) -> tuple[str, PricesImported]:
        for code, (description, unit, price, (category, rate), active) in entries.items():
            tax = {"tax_category": category, "tax_rate_bp": rate}
            prices.add_service(tx, code=code, department="desk", description=description, unit=unit, unit_price_e4=price, **tax)
            if not active:
                prices.retire_service(tx, code=code)
        exported = write(tx)
        return exported, load(tx, exported)

    def made_by_file(tx: Transaction) -> tuple[PricesImported, str]:
        return load(tx, exported), write(tx)

    exported, over_itself = tried(world, made_by_hand, clinic)
    into_nothing, again = tried(world, made_by_file, clinic)

    assert over_itself == PricesImported(new=0, changed=0, same=len(entries))
    assert into_nothing == PricesImported(new=len(entries), changed=0, same=0)
    assert again == exported


@given(st.binary(max_size=300) | st.text(max_size=300).map(lambda text: f"{HEADER}\n{text}".encode(errors="surrogatepass")))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_taken_whole_or_refused_in_words(sqlite_world: World, content: bytes) -> None:
    try:
        tried(sqlite_world, partial(load, content=content))
    except BadPriceFile as refused:
        assert refused.sentence  # noqa: PT017 - any other error fails the test
