"""A document as a page of HTML that a browser prints. It must not know where the words come from, nor let one of them become markup."""

from functools import cache

from babel import Locale
from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from billing.services.documents import text
from billing.services.documents.pages import InvoicePage, ReceiptPage

ROLL_COLUMNS = 38
"""Characters of ordinary text that fit into a line of the roll."""

ROLL_LINE_TENTH_MM, ROLL_ENDS_TENTH_MM = 41, 140
"""The height of such a line, and what margins and the gaps between parts add to all lines."""


def render(page: InvoicePage | ReceiptPage, *, paper: str, mark: str | None) -> str:
    """Return the document as a page for `paper` (`a4` or `80mm`); `mark` is the line that makes it a copy."""
    return template("invoice.html" if isinstance(page, InvoicePage) else "receipt.html").render(
        page=page,
        head=page.head,
        labels=page.labels,
        direction=Locale.parse(page.labels.language).text_direction,
        mark=mark,
        length_mm=_length_mm(page) if paper == "80mm" else None,
    )


def template(name: str) -> Template:
    """Return a template; what is put into it can't become markup."""
    return _templates().get_template(name)


@cache
def _templates() -> Environment:
    return Environment(
        loader=PackageLoader("billing"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _length_mm(page: InvoicePage | ReceiptPage) -> int:
    # CSS knows no page that is as long as what stands on it, so the length is reckoned from the text form. The line of a copy's mark
    # is always counted, so that a copy has the original's page.
    lines = text.render(page, columns=ROLL_COLUMNS, mark="-").count("\n")
    return -(-(lines * ROLL_LINE_TENTH_MM + ROLL_ENDS_TENTH_MM) // 10)
