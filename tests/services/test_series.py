from collections.abc import Callable
from concurrent.futures import Future
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from billing import clock
from billing.model import AuditEntry
from billing.rules.numbers import BadNumberFormat, Reset, parse_format, period, render
from billing.rules.texts import BadText
from billing.services import series
from billing.services.numbering import UnknownSeries
from billing.services.series import BadSeries, NumbersWouldRepeat, SeriesView
from billing.testing.world import World
from billing.transaction import PermissionMissing, Transaction

IN_2026 = datetime(2026, 5, 1, 12, tzinfo=UTC)

Beside = Callable[[Callable[[Transaction], Any], Callable[[Transaction], Any]], Future[Any]]


def add(world: World, name: str = "branch", **options: Any) -> SeriesView:
    given = {"kind": "invoice", "format": "B-{year}-{number:05}", "reset": "year"} | options
    return world.run(partial(series.add_series, series=name, **given))


def change(world: World, name: str = "invoice", **options: Any) -> SeriesView:
    return world.run(partial(series.change_series, series=name, **options))


def bill(world: World) -> str | None:
    return world.invoice("XRAY").number


def standards(world: World) -> dict[str, list[str]]:
    listed = world.read(series.list_series)
    return {kind: [each.series for each in listed if each.kind == kind and each.standard] for kind in series.KINDS}


@pytest.fixture(autouse=True)
def in_2026() -> Any:
    with clock.fixed(IN_2026):
        yield


def test_new_clinic_has_a_standard_series_of_each_kind(world: World) -> None:
    listed = world.read(series.list_series)

    assert listed[0] == SeriesView(
        "invoice",
        "invoice",
        "INV-{year}-{number:05}",
        "year",
        1,
        standard=True,
        period="2026",
        latest_value=None,
        next_number="INV-2026-00001",
    )
    assert [(each.series, each.kind, each.standard) for each in listed] == [(kind, kind, True) for kind in series.KINDS]


def test_list_shows_the_latest_number_and_the_next_one(world: World) -> None:
    world.service("XRAY")

    assert [bill(world), bill(world)] == ["INV-2026-00001", "INV-2026-00002"]

    shown = world.read(series.list_series)[0]
    assert (shown.latest_value, shown.next_number) == (2, "INV-2026-00003")
    with clock.fixed(datetime(2027, 1, 1, 12, tzinfo=UTC)):
        shown = world.read(series.list_series)[0]
    assert (shown.period, shown.latest_value, shown.next_number) == ("2027", None, "INV-2027-00001")


def test_series_added_starts_where_it_should(world: World) -> None:
    made = add(world, start_value=500)

    assert made == SeriesView(
        "branch",
        "invoice",
        "B-{year}-{number:05}",
        "year",
        500,
        standard=False,
        period="2026",
        latest_value=None,
        next_number="B-2026-00500",
    )
    assert made in world.read(series.list_series)


def test_series_added_as_standard_gives_the_next_numbers(world: World) -> None:
    world.service("XRAY")
    first = bill(world)

    add(world, standard=True, start_value=7)

    assert (first, bill(world)) == ("INV-2026-00001", "B-2026-00007")
    assert standards(world) == {"invoice": ["branch"], "receipt": ["receipt"], "credit_note": ["credit_note"]}


def test_standard_series_can_be_chosen_again_and_goes_on(world: World) -> None:
    world.service("XRAY")
    bill(world)
    add(world, standard=True)

    chosen = world.run(partial(series.make_standard, series="invoice"))

    assert chosen.standard
    assert bill(world) == "INV-2026-00002"
    assert standards(world)["invoice"] == ["invoice"]
    with pytest.raises(series.SeriesUnchanged):
        world.run(partial(series.make_standard, series="invoice"))


def test_two_standards_chosen_at_once_leave_one(world: World, beside: Beside) -> None:
    def another(name: str) -> Callable[[Transaction], SeriesView]:
        return partial(series.add_series, series=name, kind="invoice", format=name + "-{number}", reset="never", standard=True)

    second = beside(another("a"), another("b"))

    assert second.result().standard
    assert standards(world)["invoice"] == ["b"]


def test_same_format_added_by_two_at_once_is_added_once(world: World, beside: Beside) -> None:
    def another(name: str) -> Callable[[Transaction], SeriesView]:
        return partial(series.add_series, series=name, kind="invoice", format="X{number}", reset="never")

    second = beside(another("a"), another("b"))

    assert isinstance(second.exception(), NumbersWouldRepeat)


def test_series_is_there_once(world: World) -> None:
    add(world)

    with pytest.raises(series.SeriesTaken, match="there already"):
        add(world, format="C-{number}", reset="never")


def test_series_that_does_not_fit_is_refused(world: World) -> None:
    cases: list[tuple[type[Exception], dict[str, Any]]] = [
        (BadSeries, {"kind": "order"}),
        (BadSeries, {"kind": ""}),
        (BadSeries, {"reset": "week"}),
        (BadSeries, {"reset": "a\0b"}),
        (BadSeries, {"start_value": 0}),
        (BadSeries, {"start_value": -1}),
        (BadSeries, {"start_value": 10**8}),
        (BadSeries, {"start_value": 10**30}),
        (BadNumberFormat, {"format": "INV"}),
        (BadNumberFormat, {"format": "=A{year}{number}"}),
        (BadNumberFormat, {"format": "B-{number}"}),
        (BadNumberFormat, {"format": "B-{year}-{number}", "reset": "month"}),
        (BadNumberFormat, {"format": "x" * 1_000_000}),
        (BadNumberFormat, {"format": "B\0{year}{number}"}),
    ]

    before = world.dump()
    for error, options in cases:
        with pytest.raises(error):
            add(world, **options)
    for name in ("", "Branch", "a b", "a\0b", "ü", "\ud800", "x" * 1_000_000):
        with pytest.raises(BadText):
            add(world, name)

    assert world.dump() == before


def test_formats_of_a_kind_that_print_alike_are_refused(world: World) -> None:
    for alike, reset in {
        "INV-{year}-{number:05}": "year",
        "INV-{year}-{number}": "year",
        "INV-2026-{number:05}": "never",
        "INV-{year}-{month}{number:03}": "month",
    }.items():
        with pytest.raises(NumbersWouldRepeat, match="the series invoice prints or has printed") as refused:
            add(world, format=alike, reset=reset)
        assert refused.value.facts["format"] == "INV-{year}-{number:05}"

    assert add(world, kind="receipt", format="INV-{year}-{number:05}").next_number == "INV-2026-00001"


def test_format_is_changed_from_the_next_number_on_and_the_counter_goes_on(world: World) -> None:
    world.service("XRAY")
    bill(world)

    changed = change(world, format="A{year}/{number:04}")

    assert (changed.latest_value, changed.next_number) == (1, "A2026/0002")
    assert [bill(world), bill(world)] == ["A2026/0002", "A2026/0003"]


def test_more_or_fewer_digits_and_the_way_back_are_no_repetition(world: World) -> None:
    world.service("XRAY")
    bill(world)

    change(world, format="INV-{year}-{number:03}")
    second = bill(world)
    change(world, format="RE-{year}-{number:05}")
    third = bill(world)
    change(world, format="INV-{year}-{number:05}")

    assert (second, third, bill(world)) == ("INV-2026-002", "RE-2026-00003", "INV-2026-00004")


def test_format_given_up_stays_taken_for_all_others(world: World) -> None:
    change(world, format="RE-{year}-{number:05}")
    change(world, format="A-{year}-{number:05}")

    for before in ("INV-{year}-{number}", "RE-{year}-{number}"):
        with pytest.raises(NumbersWouldRepeat, match="the series invoice prints or has printed"):
            add(world, format=before)
    with pytest.raises(NumbersWouldRepeat, match="this series has printed so far"):
        change(world, format="RE-{year}-{month}{number:03}", reset="month")


def test_reset_is_changed_with_a_format_that_shows_it(world: World) -> None:
    world.service("XRAY")
    bill(world)

    with pytest.raises(BadNumberFormat):
        change(world, reset="month")
    changed = change(world, format="M{year}.{month}.{number:03}", reset="month")

    assert (changed.reset, changed.period, changed.latest_value) == ("month", "2026-05", None)
    assert bill(world) == "M2026.05.001"


def test_change_to_what_it_is_already_is_refused(world: World) -> None:
    for same in ({}, {"format": "INV-{year}-{number:05}"}, {"reset": "year"}):
        with pytest.raises(series.SeriesUnchanged):
            change(world, **same)


def test_unknown_series_and_another_clinics_are_answered_alike(world: World) -> None:
    world.run(partial(series.add_series, series="abroad", kind="invoice", format="B{number}", reset="never"), clinic="south")

    for name in ("abroad", "", "a\0b", "\ud800", "x" * 1_000_000):
        with pytest.raises(UnknownSeries, match="it has credit_note, invoice, receipt"):
            change(world, name, format="C{number}", reset="never")
        with pytest.raises(UnknownSeries):
            world.run(partial(series.make_standard, series=name))

    assert len(world.read(series.list_series)) == 3
    assert add(world, format="B{number}", reset="never").next_number == "B1"


def test_only_an_admin_manages_series_and_an_auditor_sees_them(world: World, hire: Callable[[str], str]) -> None:
    for role in ("clinician", "cashier", "manager", "auditor"):
        login = hire(role)
        for unit in (
            partial(series.add_series, series="b", kind="invoice", format="B{number}", reset="never"),
            partial(series.change_series, series="invoice", format="B{year}{number}"),
            partial(series.make_standard, series="invoice"),
        ):
            with pytest.raises(PermissionMissing, match=r"series\.manage"):
                world.run(unit, actor=login)
        assert len(world.read(series.list_series, actor=login)) == 3

    admin = hire("admin")
    assert world.run(partial(series.change_series, series="invoice", format="B{year}{number}"), actor=admin).next_number == "B20261"


def test_each_change_is_audited(world: World) -> None:
    add(world, standard=True)
    change(world, format="A{year}{number}")

    entries = world.read(
        lambda tx: tx.session.execute(
            select(AuditEntry.action, AuditEntry.subject_id, AuditEntry.data)
            .where(AuditEntry.subject == "series")
            .order_by(AuditEntry.position)
        ).all()
    )
    assert [tuple(each) for each in entries] == [
        ("series.added", "branch", {"kind": "invoice", "format": "B-{year}-{number:05}", "reset": "year", "start_value": 1}),
        ("series.made_standard", "branch", {"kind": "invoice"}),
        (
            "series.changed",
            "invoice",
            {"format": "A{year}{number}", "reset": "year", "was": {"format": "INV-{year}-{number:05}", "reset": "year"}},
        ),
    ]


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("A{number}", "A{number:05}", True),
        ("A{number}", "A1{number}", True),
        ("A{number}", "A0{number}", False),
        ("A{number:03}", "A0{number}", True),
        ("A{number}", "B{number}", False),
        ("A{number}", "a{number}", False),
        ("A{number}", "A-{number}", False),
        ("A{number}", "A{year}{number:03}", True),
        ("A-{number}", "A-{year}-{number}", False),
        ("{number}A", "{number}B", False),
        ("{number}/1", "1/{number}", True),
        ("{year}{number:05}", "{year}{month}{number:03}", True),
        ("{year}-{number}", "{year}/{number}", False),
        ("A{year}{month}{number}", "A{year}9{number}", False),
        ("A{number:012}", "A{number}", True),
    ],
)
def test_formats_that_may_print_alike(one: str, other: str, alike: bool) -> None:
    formats = [_parsed(one), _parsed(other)]

    assert series.may_print_alike(*formats) is alike
    assert series.may_print_alike(*reversed(formats)) is alike


PARTS = st.lists(st.sampled_from(["A", "1", "0", "-", "2026"]), max_size=3).map("".join)
FORMATS = st.builds(
    "{}{}{}{}{}".format,
    st.sampled_from(["A", "1", "20"]),
    st.sampled_from(["", "{year}", "{year}{month}", "{year}-"]),
    PARTS,
    st.sampled_from(["{number}", "{number:02}", "{number:04}"]),
    PARTS,
).filter(lambda text: len(text) < 40)
VALUES = st.integers(1, 9999)
DAYS = st.dates(datetime(1999, 1, 1, tzinfo=UTC).date(), datetime(2030, 12, 31, tzinfo=UTC).date())


@given(FORMATS, FORMATS, st.lists(st.tuples(VALUES, DAYS), min_size=20, max_size=60))
def test_numbers_printed_alike_are_always_foreseen(one: str, other: str, printed: list[tuple[int, Any]]) -> None:
    ours, theirs = ({render(shape, value, period(shape.reset, day)) for value, day in printed} for shape in (_parsed(one), _parsed(other)))

    assert series.may_print_alike(_parsed(one), _parsed(other)) or not ours & theirs


def _parsed(text: str) -> Any:
    reset = Reset.MONTH if "{month}" in text else Reset.YEAR if "{year}" in text else Reset.NEVER
    return parse_format(text, reset)
