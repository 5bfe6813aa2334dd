"""A document as a page of HTML that a browser prints. It must not know where the words come from, nor let one of them become markup."""

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined

from billing.services.documents import text
from billing.services.documents.pages import InvoicePage, ReceiptPage

ROLL_COLUMNS = 36
"""Characters that surely fit into a line of the roll, to estimate how long a receipt becomes."""

ROLL_LINE_MM, ROLL_MARGINS_MM = 5, 25


def render(page: InvoicePage | ReceiptPage, *, paper: str, mark: str | None) -> str:
    """Return the document as a page for `paper` (`a4` or `80mm`); `mark` is the line that makes it a copy."""
    name = "invoice.html" if isinstance(page, InvoicePage) else "receipt.html"
    return _templates().get_template(name).render(page=page, head=page.head, labels=page.labels, mark=mark, paper=_paper(page, paper))


@cache
def _templates() -> Environment:
    return Environment(
        loader=PackageLoader("billing"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )


def _paper(page: InvoicePage | ReceiptPage, paper: str) -> dict[str, str]:
    if paper == "a4":
        return {"name": "a4", "size": "A4", "margin": "16mm"}
    # CSS knows no page as long as what stands on it, so its length is that of the text form, which breaks lines earlier.
    # A mark's line is always counted: a copy has the original's style.
    lines = text.render(page, columns=ROLL_COLUMNS, mark="-").count("\n")
    return {"name": "roll", "size": f"80mm {lines * ROLL_LINE_MM + ROLL_MARGINS_MM}mm", "margin": "4mm"}
