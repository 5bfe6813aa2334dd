"""Text cells of CSV files that no spreadsheet takes for a formula, and back. It must not know what is exported.

Only for text of people. Amounts that an export writes itself, such as -12.50, are numbers and go as they are.
"""

import unicodedata

_STARTS_FORMULA = frozenset("=+-@%|\N{MINUS SIGN}")
_BREAKS = frozenset("\t\r\n")
_GUARD = "'"


def safe_cell(text: str) -> str:
    """Give the text, with a leading apostrophe where a spreadsheet would read a formula; `plain_cell` gives it back exactly."""
    return _GUARD + text if _needs_guard(text) else text


def plain_cell(cell: str) -> str:
    """Give the text of a cell that `safe_cell` wrote. An apostrophe that guards nothing belongs to the text: 't Hooft stays."""
    return cell[1:] if cell.startswith(_GUARD) and _needs_guard(cell[1:]) else cell


def _needs_guard(text: str) -> bool:
    """Say yes to what begins like a formula, and for such a text behind apostrophes, else reading back would take one away."""
    return _starts_formula(text.lstrip(_GUARD))


def _starts_formula(text: str) -> bool:
    for character in text:
        if character in _BREAKS:
            return True
        # Spreadsheets skip spaces and invisible characters, and some read full-width and small forms as the plain sign.
        plain = unicodedata.normalize("NFKC", character).strip()
        if plain and unicodedata.category(character) not in ("Cc", "Cf"):
            return plain[0] in _STARTS_FORMULA
    return False
