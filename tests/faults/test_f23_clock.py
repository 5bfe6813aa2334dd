"""F23: the clock goes back, jumps, meets DST, leap day and New Year at both ends of the world. Numbers follow their sequence, days their clinic."""

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
import time_machine

from billing.testing.world import World

ZONES = ["Europe/Berlin", "America/New_York", "Pacific/Kiritimati", "Pacific/Pago_Pago"]
NIGHTS = [
    datetime(2026, 3, 29, 0, 59, tzinfo=UTC),  # Berlin goes forward
    datetime(2026, 10, 25, 0, 59, tzinfo=UTC),  # and back
    datetime(2026, 3, 8, 6, 59, tzinfo=UTC),  # New York goes forward
    datetime(2026, 11, 1, 5, 59, tzinfo=UTC),  # and back
    datetime(2028, 2, 28, 23, 30, tzinfo=UTC),  # a leap day begins
    datetime(2026, 12, 31, 9, 59, tzinfo=UTC),  # the New Year of UTC+14
    datetime(2027, 1, 1, 10, 59, tzinfo=UTC),  # the New Year of UTC-11
]


@pytest.mark.parametrize("zone", ZONES)
def test_days_and_periods_are_the_clinics_own_through_every_night(
    zone: str, sqlite_url: str, told: Callable[..., None], books_are_well: Callable[[World], None]
) -> None:
    world = World(sqlite_url)
    world.found("there", time_zone=zone)
    world.service("VIS", clinic="there")
    world.clinic = "there"
    seen: dict[int, list[int]] = {}

    for night in sorted(NIGHTS):
        for minutes in (0, 2, 62):
            moment = night + timedelta(minutes=minutes)
            with time_machine.travel(moment, tick=False):
                taken = world.pay(world.invoice("VIS").id, "cash 10")
            local = moment.astimezone(ZoneInfo(zone)).date()
            assert taken.business_date == local.isoformat()
            _, year, value = taken.receipt_number.split("-")
            assert int(year) == local.year
            seen.setdefault(local.year, []).append(int(value))

    assert all(values == list(range(1, len(values) + 1)) for values in seen.values()), seen
    books_are_well(world)
    told("F23", zone=zone.rpartition("/")[2], moments=len(NIGHTS) * 3)
    world.dispose()


def test_numbers_follow_their_sequence_when_the_clock_goes_back_and_forth(
    world: World, chance: random.Random, told: Callable[..., None]
) -> None:
    world.service("VIS")
    now = datetime.now(UTC).replace(month=6, day=15)
    jumps = [timedelta(0), timedelta(hours=-1), timedelta(days=-20), timedelta(hours=1), timedelta(seconds=-1), timedelta(days=30)]
    chance.shuffle(jumps)
    values = []

    for jump in jumps:
        with time_machine.travel(now + jump, tick=False):
            values.append(int(world.pay(world.invoice("VIS").id, "cash 10").receipt_number.rpartition("-")[2]))

    assert values == [1, 2, 3, 4, 5, 6]
    told("F23", jumps=len(jumps))


def test_year_ahead_and_back_again_keeps_a_sequence_for_each_year(world: World) -> None:
    world.service("VIS")
    now = datetime(2026, 6, 15, 12, tzinfo=UTC)
    printed = []

    for year in (2026, 2027, 2026, 2027):
        with time_machine.travel(now.replace(year=year), tick=False):
            printed.append(world.pay(world.invoice("VIS").id, "cash 10").receipt_number)

    assert printed == ["R-2026-00001", "R-2027-00001", "R-2026-00002", "R-2027-00002"]
