"""What an issued invoice says, as one hash: a later change of a stored row is found by computing it again. Knows no table."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

INVOICE_FIELDS = (
    "id", "patient_id", "client_id", "consultation_id", "currency", "rounding", "prices_include_tax", "line_total_minor", "allowance_minor",
    "charge_minor", "net_minor", "tax_minor", "total_minor", "issue_date", "due_date",
)  # fmt: skip
ITEM_FIELDS = (
    "id", "position", "department", "code", "description", "unit", "quantity_milli", "unit_price_e4", "allowance_minor", "charge_minor",
    "net_minor", "adjustment_minor", "taxable_minor", "tax_category", "tax_rate_bp", "tax_minor", "total_minor", "provider_id", "source",
)  # fmt: skip


def invoice_content_hash(invoice: Mapping[str, Any], items: Sequence[Mapping[str, Any]]) -> str:
    """Return the SHA-256 (hex) of what the invoice says: `INVOICE_FIELDS`, and `ITEM_FIELDS` of its items by position. Dates as dates."""
    rows = sorted(items, key=lambda item: item["position"])
    parts = [[invoice[name] for name in INVOICE_FIELDS], [[item[name] for name in ITEM_FIELDS] for item in rows]]
    return hashlib.sha256(_JSON.encode(parts).encode("ascii")).hexdigest()


def _text(value: Any) -> str:
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no place in an issued invoice")


_JSON = json.JSONEncoder(separators=(",", ":"), ensure_ascii=True, default=_text)
