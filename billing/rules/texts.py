"""What people type: names, codes, notes. Refuses what can't be stored or printed. Knows no noun."""

import re
import unicodedata

from billing.errors import Invalid

_CODE = re.compile(r"[a-z0-9][a-z0-9_-]{0,30}")
_SERVICE_CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,59}")


class BadText(Invalid):
    """A text is empty, too long, or has characters that can't be stored or printed. Facts: `what`."""

    code = "bad_text"


def check_text(text: str, what: str, *, longest: int = 200, empty: bool = False) -> str:
    """Return the text without surrounding blanks. Raises `BadText` naming `what`."""
    shown = text.strip()
    if not shown and not empty:
        raise BadText(f"{what} is empty: give it a text.", what=what)
    if len(shown) > longest:
        raise BadText(f"{what} has {len(shown)} characters; {longest} are allowed.", what=what)
    # Most texts are printable as a whole; the others may hold line ends, or signs that only look as if they could not be printed.
    if not shown.isprintable() and (
        bad := next((each for each in shown if unicodedata.category(each) in {"Cc", "Cs"} and each != "\n"), None)
    ):
        raise BadText(f"{what} has a character that can't be printed (U+{ord(bad):04X}): leave it out.", what=what)
    return shown


def check_code(text: str, what: str) -> str:
    """Return a short code of small letters, digits, `-` and `_` (31 at most). Raises `BadText`."""
    if not _CODE.fullmatch(text):
        raise BadText(f"{what} {text[:40]!r} is no code: use small letters, digits, - and _ (31 at most).", what=what)
    return text


def check_service_code(text: str) -> str:
    """Return the code of a service: letters, digits and . _ : / - (60 at most). Raises `BadText`."""
    if not _SERVICE_CODE.fullmatch(text):
        raise BadText(f"The service code {text[:70]!r} can't be used: letters, digits and . _ : / - (60 at most).", what="service code")
    return text
