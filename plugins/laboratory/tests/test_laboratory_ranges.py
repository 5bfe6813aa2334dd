"""Which range applies to whom: sex, age in days, species; the most specific first, then the first."""

from datetime import date, timedelta
from decimal import Decimal

import pytest
from billing_laboratory.rules import Range, check_range, choose_range, flag
from hypothesis import given
from hypothesis import strategies as st

TODAY = date(2026, 3, 1)
YEAR = 365
EVERYBODY = Range(position=1, low="12", high="18")
WOMEN = Range(position=2, sex="female", low="12", high="16")
NEWBORNS = Range(position=3, age_until_days=28, low="14", high="24")
DOGS = Range(position=4, species="dog", low="13", high="20")
OLD_DOGS = Range(position=5, species="dog", age_from_days=10 * YEAR, low="12", high="20")
ALL = (EVERYBODY, WOMEN, NEWBORNS, DOGS, OLD_DOGS)


def chosen(*, sex: str = "male", days: int | None = 40 * YEAR, species: str | None = None, ranges: tuple[Range, ...] = ALL) -> Range | None:
    birth_date = None if days is None else TODAY - timedelta(days=days)
    return choose_range(ranges, sex=sex, birth_date=birth_date, on=TODAY, species=species)


def test_a_range_for_a_sex_wins_over_one_for_everybody() -> None:
    assert chosen(sex="female") == WOMEN
    assert chosen(sex="male") == EVERYBODY


@pytest.mark.parametrize("sex", ["other", "unknown"])
def test_a_patient_of_no_known_sex_gets_the_range_for_everybody(sex: str) -> None:
    assert chosen(sex=sex) == EVERYBODY


def test_an_age_ends_on_the_day_that_it_names() -> None:
    assert chosen(days=0) == NEWBORNS
    assert chosen(days=27) == NEWBORNS
    assert chosen(days=28) == EVERYBODY


def test_sex_and_age_weigh_the_same_so_the_first_position_wins() -> None:
    assert chosen(sex="female", days=10) == WOMEN


def test_a_range_for_sex_and_age_wins_over_either() -> None:
    newborn_girls = Range(position=9, sex="female", age_until_days=28, low="15", high="24")

    assert chosen(sex="female", days=10, ranges=(*ALL, newborn_girls)) == newborn_girls


def test_an_animal_is_judged_by_its_species_only() -> None:
    assert chosen(species="dog", days=2 * YEAR) == DOGS
    assert chosen(species="Dog ", days=12 * YEAR) == OLD_DOGS
    assert chosen(species="cat") is None


def test_a_person_is_never_judged_by_a_range_for_animals() -> None:
    assert chosen(ranges=(DOGS, OLD_DOGS)) is None


def test_without_a_birth_date_only_ranges_for_all_ages_apply() -> None:
    assert chosen(days=None) == EVERYBODY
    assert chosen(days=None, ranges=(NEWBORNS,)) is None
    assert chosen(days=None, species="dog") == DOGS


def test_a_birth_date_after_the_measurement_counts_as_unknown() -> None:
    assert chosen(days=-3) == EVERYBODY


def test_there_is_no_fallback() -> None:
    assert chosen(ranges=()) is None
    assert chosen(sex="male", ranges=(WOMEN,)) is None


ranges = st.builds(
    Range,
    position=st.integers(1, 9),
    sex=st.sampled_from([None, "female", "male"]),
    species=st.sampled_from([None, "dog", "cat"]),
    age_from_days=st.integers(0, 50),
    age_until_days=st.none() | st.integers(51, 100),
    low=st.just("1"),
)


@given(
    st.lists(ranges, max_size=6, unique_by=lambda each: each.position),
    st.sampled_from(["female", "male", "unknown"]),
    st.integers(0, 120),
    st.sampled_from([None, "dog", "cat"]),
)
def test_the_choice_fits_and_does_not_depend_on_the_order_of_rows(several: list[Range], sex: str, days: int, species: str | None) -> None:
    choice = chosen(sex=sex, days=days, species=species, ranges=tuple(several))

    assert choice == chosen(sex=sex, days=days, species=species, ranges=tuple(reversed(several)))
    if choice is not None:
        assert choice.species == species
        assert choice.sex in {None, sex}
        assert choice.age_from_days <= days
        assert choice.age_until_days is None or days < choice.age_until_days


@given(st.lists(st.decimals(min_value=-1000, max_value=1000, places=2), min_size=5, max_size=5))
def test_a_higher_value_never_gets_a_lower_flag(numbers: list[Decimal]) -> None:
    value, *limits = numbers
    critical_low, low, high, critical_high = (f"{each:f}" for each in sorted(limits))
    judged = Range(critical_low=critical_low, low=low, high=high, critical_high=critical_high)
    rank = ["LL", "L", "N", "H", "HH"].index

    check_range(judged, kind="numeric")
    here = flag(f"{value:f}", judged, kind="numeric")
    above = flag(f"{value + 1:f}", judged, kind="numeric")

    assert rank(above) >= rank(here)
    assert (here == "N") == (Decimal(low) <= value <= Decimal(high))
