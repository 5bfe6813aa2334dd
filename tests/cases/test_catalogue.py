"""The catalogue is whole and true: every public case is shown by a test, or named with what it waits for; and the world's doctor can fail."""

import re
from pathlib import Path
from runpy import run_path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cases.conftest import CaseWorld

CATALOGUE = run_path(str(Path(__file__).with_name("catalogue.py")))
ALL, LATER, REST, SHOWN = CATALOGUE["ALL"], CATALOGUE["LATER"], CATALOGUE["REST"], CATALOGUE["shown"]()

THREAD = re.compile(r"\b[\w.-]+/[\w.-]+#[0-9]+")


def test_every_case_is_shown_or_named_as_coming_later() -> None:
    assert sorted({*SHOWN, *LATER} - set(ALL)) == [], "there is no such case"
    assert sorted(set(SHOWN) & set(LATER)) == [], "shown and said to come later"
    assert sorted(set(ALL) - {*SHOWN, *LATER}) == [], "neither shown nor said to come later"


def test_what_is_still_to_come_of_a_case_is_said_of_cases_that_are_shown() -> None:
    assert sorted(set(REST) - set(SHOWN)) == []


def test_every_shown_case_tells_its_public_thread() -> None:
    assert [case for case, tests in SHOWN.items() if not any(THREAD.search(story) for _, story in tests)] == []


def test_only_tests_that_pytest_would_run_count_as_shown(tmp_path: Path) -> None:
    (tmp_path / "test_one.py").write_text('@pytest.mark.case("P01")\ndef test_it(): ...\n\n@pytest.mark.case("P02")\ndef helper(): ...\n')
    (tmp_path / "other.py").write_text('@pytest.mark.case("P03")\ndef test_it(): ...\n')

    assert CATALOGUE["shown"](tmp_path) == {"P01": [("test_one.py::test_it", "")]}


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE invoice SET note = 'other', amount_paid_minor = amount_paid_minor - 1",
        "UPDATE pharmacy_batch SET on_hand_milli = on_hand_milli + 1",
        "UPDATE audit_entry SET hash = 'other' WHERE position = 3",
        "UPDATE number_counter SET latest_value = latest_value + 1 WHERE series = 'invoice'",
    ],
)
def test_books_that_were_tampered_with_fail_the_world(statement: str, sqlite_url: str, world_on: "Callable[[str], CaseWorld]") -> None:
    world = world_on(sqlite_url)
    world.pay(world.n1().id, "cash 154")
    world.check_books()

    world.tamper(statement)

    with pytest.raises(AssertionError, match="broken"):
        world.check_books()
    world.dispose()
