"""What an entry of the price list may hold, whether a person types it or a file brings it. Writes nothing."""

from billing.money import BadUnitPrice, check_unit_price
from billing.rules.texts import check_text
from billing.rules.totals import UNTAXED_CATEGORIES, BadTaxGroup, TaxGroup
from billing.services.clinics import UnknownDepartmentHere
from billing.services.inputs import check_line
from billing.transaction import Transaction


def choose_tax(category: str | None, rate_bp: int | None) -> TaxGroup:
    """Return the tax that is meant: a rate alone is the standard category, nothing at all (or zero) is outside the scope of tax.

    A category alone is enough where its rate can only be 0. Raises `BadTaxGroup`.
    """
    chosen = category if category is not None else ("S" if rate_bp else "O")
    if rate_bp is None and chosen not in UNTAXED_CATEGORIES:
        TaxGroup(chosen, 0)  # says it if there is no such category at all
        raise BadTaxGroup(f"The tax category {chosen} needs its rate in percent.", category=chosen, rate_bp=rate_bp)
    return TaxGroup(chosen, rate_bp or 0)


def check_price(unit_price_e4: int) -> int:
    """Return a price that a list may have, zero included. Raises `BadUnitPrice`."""
    if unit_price_e4 < 0:
        raise BadUnitPrice(
            "A price of the price list can't be negative: give a discount on the invoice instead.", unit_price_e4=unit_price_e4
        )
    return check_unit_price(unit_price_e4)


def check_description(text: str) -> str:
    """Return what invoices say of the service. Raises `BadText`."""
    return check_text(text, "The description", longest=500)


def check_unit(text: str) -> str:
    """Return what a quantity of one is. Raises `BadText`."""
    return check_line(text, "The unit", longest=30)


def check_department(tx: Transaction, code: str) -> str:
    """Return the code of a department that the clinic has. Raises `UnknownDepartmentHere`."""
    if tx.clinic.department(code) is None:
        known = ", ".join(each.code for each in tx.clinic.departments) or "none yet"
        raise UnknownDepartmentHere(f"There is no department {code[:40]!r}: the clinic has {known}.", department=code)
    return code
