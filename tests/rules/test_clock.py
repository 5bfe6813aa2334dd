"""The clock answers with aware UTC instants, and a day belongs to the clinic's zone."""

import threading
from datetime import UTC, date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing import clock

NEW_YEAR = datetime(2026, 12, 31, 23, 30, tzinfo=UTC)


def test_now_is_aware_and_in_utc() -> None:
    before = datetime.now(UTC)

    instant = clock.now()

    assert before <= instant <= datetime.now(UTC)
    assert instant.tzinfo is UTC


def test_fixed_clock_answers_the_same_instant_and_then_lets_go() -> None:
    with clock.fixed(NEW_YEAR) as at:
        first, second = clock.now(), clock.now()
    afterwards = clock.now()

    assert first == second == at == NEW_YEAR
    assert afterwards != NEW_YEAR


def test_fixed_clock_lets_go_after_an_error() -> None:
    with pytest.raises(KeyError), clock.fixed(NEW_YEAR):
        raise KeyError

    assert clock.now() != NEW_YEAR


def test_fixed_clocks_nest() -> None:
    later = NEW_YEAR + timedelta(hours=1)

    with clock.fixed(NEW_YEAR):
        with clock.fixed(later):
            inner = clock.now()
        outer = clock.now()

    assert (inner, outer) == (later, NEW_YEAR)


def test_fixed_clock_turns_any_zone_into_utc() -> None:
    kolkata = datetime(2027, 1, 1, 5, 0, tzinfo=timezone(timedelta(hours=5, minutes=30)))

    with clock.fixed(kolkata):
        instant = clock.now()

    assert instant == NEW_YEAR
    assert instant.utcoffset() == timedelta(0)


def test_fixed_clock_does_not_reach_into_another_thread() -> None:
    seen: list[datetime] = []

    with clock.fixed(NEW_YEAR):
        thread = threading.Thread(target=lambda: seen.append(clock.now()))
        thread.start()
        thread.join()

    assert seen[0] != NEW_YEAR


@pytest.mark.parametrize(
    ("zone", "day"),
    [
        ("UTC", date(2026, 12, 31)),
        ("Europe/Berlin", date(2027, 1, 1)),
        ("Pacific/Auckland", date(2027, 1, 1)),
        ("Pacific/Kiritimati", date(2027, 1, 1)),
        ("Asia/Kathmandu", date(2027, 1, 1)),
        ("America/New_York", date(2026, 12, 31)),
        ("Pacific/Pago_Pago", date(2026, 12, 31)),
    ],
)
def test_business_date_is_the_day_of_the_zone(zone: str, day: date) -> None:
    assert clock.business_date(NEW_YEAR, zone) == day


@pytest.mark.parametrize(
    ("at", "day"),
    [
        (datetime(2026, 11, 20, 22, 59, 59, 999_999, tzinfo=UTC), date(2026, 11, 20)),
        (datetime(2026, 11, 20, 23, 0, tzinfo=UTC), date(2026, 11, 21)),
        (datetime(2026, 7, 20, 21, 59, 59, 999_999, tzinfo=UTC), date(2026, 7, 20)),
        (datetime(2026, 7, 20, 22, 0, tzinfo=UTC), date(2026, 7, 21)),
        (datetime(2026, 10, 24, 22, 0, tzinfo=UTC), date(2026, 10, 25)),  # the day of 25 hours
        (datetime(2026, 10, 25, 22, 59, tzinfo=UTC), date(2026, 10, 25)),
    ],
)
def test_business_date_begins_at_local_midnight_in_summer_and_winter(at: datetime, day: date) -> None:
    assert clock.business_date(at, "Europe/Berlin") == day


def test_local_shows_the_same_instant_on_the_clocks_of_the_zone() -> None:
    shown = clock.local(NEW_YEAR, "Europe/Berlin")

    assert shown == NEW_YEAR
    assert shown.isoformat() == "2027-01-01T00:30:00+01:00"


@given(st.datetimes(datetime(1970, 1, 2), datetime(2100, 1, 1), timezones=st.timezones()), st.timezones())
def test_business_date_depends_on_the_instant_not_on_how_it_is_written(at: datetime, zone: ZoneInfo) -> None:
    assert clock.business_date(at, "Asia/Tokyo") == clock.business_date(at.astimezone(zone), "Asia/Tokyo")


@pytest.mark.parametrize("at", [datetime(2026, 11, 20), datetime(1, 1, 1)])
def test_naive_instants_are_refused(at: datetime) -> None:
    with pytest.raises(ValueError, match="no time zone"):
        clock.local(at, "UTC")
    with pytest.raises(ValueError, match="no time zone"):
        clock.business_date(at, "UTC")
    with pytest.raises(ValueError, match="no time zone"), clock.fixed(at):
        pass


def test_zone_is_found_by_its_iana_name() -> None:
    assert clock.zone("Europe/Berlin") == ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "Mars/Olympus",
        "Europe",
        "Europe/",
        "europe/berlin ",
        "../UTC",
        "/UTC",
        "UTC\0",
        "\ud800",
        "x" * 5000,
        "localtime",
        "posixrules",
        "Factory",
        "+02:00",
    ],
)
def test_unknown_time_zone_is_named(name: str) -> None:
    with pytest.raises(clock.UnknownTimeZone) as refusal:
        clock.zone(name)

    assert refusal.value.code == "unknown_time_zone"
    assert refusal.value.name == name
    assert "Europe/Berlin" in refusal.value.sentence


def test_business_date_refuses_an_unknown_zone() -> None:
    with pytest.raises(clock.UnknownTimeZone):
        clock.business_date(NEW_YEAR, "Mars/Olympus")
