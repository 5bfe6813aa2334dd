"""Cells of people's text start no formula, and come back as they were."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.rules.spreadsheet import plain_cell, safe_cell

SIGNS = "=+-@%|"
FULL_WIDTH = "＝＋－＠％｜"
DANGEROUS = [
    "=1+1",
    "+49 30 123",
    "-12.50",
    "-",
    "@SUM(A1)",
    "%0A",
    "|calc",
    "\tx",
    "\rx",
    "\nx",
    "  =1+1",
    " \t=1",
    "   \n",
    "\N{NO-BREAK SPACE}=1",
    "\N{IDEOGRAPHIC SPACE}@x",
    "\N{ZERO WIDTH NO-BREAK SPACE}=1",
    "\N{ZERO WIDTH SPACE}+1",
    "\0=1",
    "\N{FULLWIDTH EQUALS SIGN}1",
    " \N{FULLWIDTH PLUS SIGN}1",
    "\N{FULLWIDTH HYPHEN-MINUS}1",
    "\N{FULLWIDTH COMMERCIAL AT}x",
    "\N{FULLWIDTH PERCENT SIGN}x",
    "\N{FULLWIDTH VERTICAL LINE}x",
    "\N{SMALL EQUALS SIGN}1",
    "\N{MINUS SIGN}1",
    "=cmd|' /C calc'!A0",
]
HARMLESS = ["", " ", "Rex", "O'Neill", "'t Hooft", "''", "1-2", "a=b", "Zoë", "\N{EN DASH} none", "50 %", "'", "' '", "12.50", "#1", "\0"]
TRICKY = st.text(st.sampled_from([*SIGNS, *FULL_WIDTH, *" '\t\r\n\0a1,;\"", "\N{ZERO WIDTH SPACE}", "\N{NO-BREAK SPACE}"]), max_size=8)
TEXTS = st.text() | TRICKY


@pytest.mark.parametrize("text", DANGEROUS)
def test_formula_start_is_led_by_an_apostrophe(text: str) -> None:
    assert safe_cell(text) == "'" + text


@pytest.mark.parametrize("text", HARMLESS)
def test_other_text_stays_as_it_is_in_both_directions(text: str) -> None:
    assert safe_cell(text) == text
    assert plain_cell(text) == text


@pytest.mark.parametrize(("text", "cell"), [("'=1", "''=1"), ("''=1", "'''=1"), ("'-", "''-"), ("' =1", "'' =1")])
def test_text_that_looks_guarded_already_is_guarded_again(text: str, cell: str) -> None:
    assert safe_cell(text) == cell
    assert plain_cell(cell) == text


def test_cells_of_two_different_texts_differ() -> None:
    cells = {safe_cell(text) for text in ("=1", "'=1", "''=1")}

    assert cells == {"'=1", "''=1", "'''=1"}


@given(TEXTS)
def test_any_text_comes_back_exactly(text: str) -> None:
    assert plain_cell(safe_cell(text)) == text


@given(TEXTS)
def test_no_cell_starts_a_formula(text: str) -> None:
    cell = safe_cell(text)

    first = cell.strip(" \0\N{ZERO WIDTH SPACE}\N{NO-BREAK SPACE}")[:1]
    assert first == "" or first not in SIGNS + FULL_WIDTH + "\t\r\n"


@given(st.lists(TEXTS, min_size=1, max_size=4))
def test_row_of_a_csv_file_comes_back_exactly(texts: list[str]) -> None:
    file = io.StringIO(newline="")

    csv.writer(file).writerow([safe_cell(text) for text in texts])
    row = next(csv.reader(io.StringIO(file.getvalue(), newline="")))

    assert [plain_cell(cell) for cell in row] == texts
