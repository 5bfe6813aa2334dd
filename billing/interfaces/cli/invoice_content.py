"""What is billed, from options or a JSON file, as the services take it. The file's shape is closed: no total, tax amount or status in it."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from billing.interfaces.cli.options import BadOption, parse_tax, split
from billing.interfaces.cli.render import fields
from billing.money import Currency, format_amount, format_rate, parse_amount, parse_quantity, parse_unit_price
from billing.rules.totals import TaxGroup
from billing.services.quotation import NewAdjustment, NewItem, Quotation

if TYPE_CHECKING:
    from billing.transaction import Transaction

MOST_BYTES = 10_000_000

Text = Annotated[str, StringConstraints(strict=True)]
"""A JSON text. Amounts and quantities are texts too ("2.50"): a JSON number would have passed through a float."""

_FREE_TEXT = re.compile(r"([^:]+):(.+?):([0-9]+(?:\.[0-9]+)?)(?::([A-Za-z]{1,2}(?::[0-9.]+)?|[0-9.]+))?", re.DOTALL)
_COUNTED = re.compile(r"(.+):([-+]?[0-9.,]+(?:e[-+]?[0-9]+)?|nan|[-+]?inf(?:inity)?)", re.IGNORECASE)
"""What stands behind the last colon and looks like a number is meant as a quantity, a wrong one too: it is refused as such."""


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Reason(_Closed):
    """An amount off an item or on top of it, and why."""

    amount: Text
    reason: Text


class Adjustment(Reason):
    """A discount or charge on the whole invoice; `tax` names the group that it falls on, where there are several."""

    tax: Text | None = None


class Item(_Closed):
    """A service by its code, or a free text with department and price."""

    code: Text | None = None
    quantity: Text = "1"
    description: Text | None = None
    department: Text | None = None
    price: Text | None = None
    tax: Text | None = None
    allowances: tuple[Reason, ...] = ()
    charges: tuple[Reason, ...] = ()
    provider: Text | None = None
    source: Text | None = None
    given: dict[str, Any] = Field(default_factory=dict)


class Content(_Closed):
    """An invoice as it is asked for. What is None was not given."""

    patient: Text | None = None
    consultation: Text | None = None
    provider: Text | None = None
    items: tuple[Item, ...] | None = None
    discounts: tuple[Adjustment, ...] | None = None
    charges: tuple[Adjustment, ...] | None = None
    note: Text | None = None
    source: Text | None = None
    expected_total: Text | None = None
    series: Text | None = None
    key: Text | None = None

    def keyed(self) -> "Content":
        """Return it with a key, of its own if none was given: if the connection breaks while it is booked, the second try finds the first."""
        from billing.model import new_id

        return self.model_copy(update={"key": self.key or f"cli-{new_id()}"})

    def for_preview(self, tx: "Transaction") -> dict[str, Any]:
        """Return the arguments of `preview_invoice`."""
        if not self.patient:
            raise BadOption("An invoice needs a patient: name one with --patient ID.", option="--patient", text="")
        return {
            "patient_id": self.patient,
            "items": self._items(tx) or [],
            "adjustments": self._adjustments(tx.clinic.currency) or [],
            "consultation_id": self.consultation,
            "provider_id": _provider(tx, self.provider),
        }

    def for_create(self, tx: "Transaction") -> dict[str, Any]:
        """Return the arguments of `create_invoice`."""
        expected = None if self.expected_total is None else parse_amount(self.expected_total, tx.clinic.currency)
        rest = {"note": self.note or "", "source": self.source, "expected_total_minor": expected}
        rest |= {"series": self.series, "key": self.key}
        return self.for_preview(tx) | rest

    def for_edit(self, tx: "Transaction") -> dict[str, Any]:
        """Return the arguments of `edit_invoice`, the invoice and its version aside. Raises `BadOption` for what an edit can't change."""
        for name in ("patient", "consultation", "provider", "source", "expected_total", "series", "key"):
            if getattr(self, name) is not None:
                raise BadOption(f"An edit can't change {name}: cancel the draft and create another one.", option=name, text="")
        return {"items": self._items(tx), "adjustments": self._adjustments(tx.clinic.currency), "note": self.note}

    def _items(self, tx: "Transaction") -> list[NewItem] | None:
        return None if self.items is None else [_new_item(tx, item) for item in self.items]

    def _adjustments(self, currency: Currency) -> list[NewAdjustment] | None:
        if self.discounts is None and self.charges is None:
            return None
        both = [*((False, each) for each in self.discounts or ()), *((True, each) for each in self.charges or ())]
        return [
            NewAdjustment(charge, parse_amount(each.amount, currency), each.reason, parse_tax(each.tax) if each.tax else None)
            for charge, each in both
        ]


def read(given: Mapping[str, Any]) -> Content:
    """Return what is asked for, from the options or from the file that they name. Raises `BadOption`."""
    options = {name: value for name, value in given.items() if name != "file" and value}
    file = given.get("file")
    if file is None:
        return _from_options(options)
    if options:
        raise BadOption("--from FILE says it all: leave the other options out.", option="--from", text="")
    text = file.read(MOST_BYTES + 1)
    if len(text) > MOST_BYTES:
        raise BadOption(f"The file has more than {MOST_BYTES} bytes.", option="--from", text="")
    try:
        return Content.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        why = "it can't be given: prices, taxes and totals are computed here" if first["type"] == "extra_forbidden" else first["msg"]
        raise BadOption(f"The file does not describe an invoice: {where}: {why}.", option="--from", text=where) from None


def quoted(quotation: Quotation, currency: Currency) -> dict[str, Any]:
    """Return a preview as plain fields."""
    totals = quotation.totals
    lines = zip(quotation.items, totals.lines, strict=True)
    return {
        "currency": currency.code,
        "net": format_amount(totals.net_total_minor, currency),
        "tax": format_amount(totals.tax_total_minor, currency),
        "total": format_amount(totals.gross_total_minor, currency),
        "items": [fields(item, currency) | _tax(item.tax) | fields(line, currency) for item, line in lines],
        "reductions": [
            {"position": each.position, "charge": each.charge, "amount": format_amount(each.amount_minor, currency), "reason": each.reason}
            for each in quotation.reductions
        ],
        "taxes": [
            _tax(each.tax) | {"taxable": format_amount(each.taxable_minor, currency), "tax": format_amount(each.tax_minor, currency)}
            for each in totals.taxes
        ],
    }


def _tax(group: TaxGroup) -> dict[str, str]:
    return {"tax_category": group.category, "tax_rate": format_rate(group.rate_bp)}


def _from_options(options: Mapping[str, Any]) -> Content:
    items = [*map(_item, options.get("items", ())), *map(_free_text, options.get("texts", ()))]
    return Content(
        patient=options.get("patient_id"),
        consultation=options.get("consultation_id"),
        provider=options.get("provider"),
        items=tuple(items) if items else None,
        discounts=_reasons(options.get("discounts"), "--discount"),
        charges=_reasons(options.get("charges"), "--charge"),
        note=options.get("note"),
        source=options.get("source"),
        expected_total=options.get("expected_total"),
        key=options.get("key"),
    )


def _item(text: str) -> Item:
    code, equals, quantity = text.rpartition("=")
    if equals:
        return Item(code=code, quantity=quantity)
    counted = _COUNTED.fullmatch(text)
    return Item(code=counted[1], quantity=counted[2]) if counted else Item(code=text)


def _free_text(text: str) -> Item:
    found = _FREE_TEXT.fullmatch(text)
    if found is None:
        shape = "department:description:price or department:description:price:tax"
        raise BadOption(f"--text {text[:60]!r} can't be read: write it like {shape}.", option="--text", text=text)
    department, description, price, tax = found.groups()
    return Item(department=department, description=description, price=price, tax=tax)


def _reasons(texts: tuple[str, ...] | None, option: str) -> tuple[Adjustment, ...] | None:
    if not texts:
        return None
    return tuple(
        Adjustment(amount=amount, reason=reason) for amount, reason in (split(text, option, "amount:reason", least=2) for text in texts)
    )


def _new_item(tx: "Transaction", item: Item) -> NewItem:
    currency = tx.clinic.currency
    return NewItem(
        code=item.code,
        quantity_milli=parse_quantity(item.quantity),
        description=item.description,
        department=item.department,
        unit_price_e4=None if item.price is None else parse_unit_price(item.price, currency),
        tax=parse_tax(item.tax) if item.tax else None,
        allowances=tuple((parse_amount(each.amount, currency), each.reason) for each in item.allowances),
        charges=tuple((parse_amount(each.amount, currency), each.reason) for each in item.charges),
        provider_id=_provider(tx, item.provider),
        source=item.source,
        given=item.given,
    )


def _provider(tx: "Transaction", name: str | None) -> str | None:
    from billing.services import staff

    return None if name is None else staff.find_provider(tx, name).id
