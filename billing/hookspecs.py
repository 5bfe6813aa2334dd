"""Every hook, typed, in the order of a clinic's day. What they get are frozen values, what they return are values: no hook holds a connection.

Phases: *declare* (at start), *quote* (totals are computed), *check* (in the transaction, before anything is written; may veto),
*act* (in the transaction; returns changes), as in docs/hooks.md.
"""

from collections.abc import Iterable, Iterator

import click
import pluggy

from billing.changes.declare import Declaration
from billing.changes.kinds import Change
from billing.changes.needs import Known
from billing.facts import (
    BilledItem,
    Claim,
    ImportedItem,
    ImportFacts,
    InvoiceFacts,
    PaidItem,
    PaymentFacts,
    Quote,
    QuotedLine,
    QuotingClinic,
    Record,
    Records,
    RefundedItem,
    RefundFacts,
)

hookspec = pluggy.HookspecMarker("billing")
hookimpl = pluggy.HookimplMarker("billing")

# --- declare: at start --------------------------------------------------------------------------------------------------------------


@hookspec
def declare() -> Declaration:  # type: ignore[empty-body]
    """Say what this plugin is: departments, tables, needs, settings, methods, permissions, record kinds, invariants.

    When: once, while the plugin is loaded; no clinic and no database yet.
    Returns: one `Declaration`.
    May raise: anything; the plugin is then quarantined: its departments can't be billed or paid, the others go on.
    Order: does not matter.
    Added in 0.1. Example: docs/hooks/declare.md
    """


@hookspec
def register_commands(cli: click.Group) -> None:
    """Add commands to `billing`.

    When: the command line starts a command (or rebuilds its list of commands).
    Returns: nothing; add with `cli.add_command`. A name that is taken is refused.
    May raise: anything; the plugin's commands are then left out, with one line on stderr.
    Order: does not matter.
    Added in 0.1. Example: docs/hooks/register_commands.md
    """


# --- quote: totals are computed -----------------------------------------------------------------------------------------------------


@hookspec
def quote_lines(clinic: QuotingClinic, lines: tuple[QuotedLine, ...], known: Known) -> Iterable[Quote]:  # type: ignore[empty-body]
    """Say which prices, allowances and charges the lines of my departments get.

    When: an invoice is created, edited or previewed; before any number is taken and before anything is written.
    Amounts are minor units of `clinic.currency`, unit prices ten-thousandths of one, quantities thousandths. `known` holds the needs `of="quoting"`.
    Returns: `Price`, `Allowance` and `Charge` values for positions of `lines`, each with a reason that is printed. A price that a person gave stands.
    May raise: `Refused`; the invoice is then not made.
    Order: must not matter: a plugin sees and answers only its own lines.
    Added in 0.1. Example: docs/hooks/quote_lines.md
    """


# --- invoices -----------------------------------------------------------------------------------------------------------------------


@hookspec
def on_invoice_created(invoice: InvoiceFacts, items: tuple[BilledItem, ...], known: Known) -> Iterable[Change]:  # type: ignore[empty-body]
    """Say what changes because a draft with these items of mine has just been made.

    When: in the transaction, totals computed, nothing written yet. `known` holds the needs `of="billing"`.
    Returns: changes of the plugin's own tables; effects are kept under the invoice.
    May raise: `Refused`; the invoice is then not made and no number used.
    Order: must not matter.
    Added in 0.1. Example: docs/hooks/on_invoice_created.md
    """


@hookspec
def on_invoice_changed(invoice: InvoiceFacts, items: tuple[BilledItem, ...], known: Known) -> Iterable[Change]:  # type: ignore[empty-body]
    """Say what changes because the items of a draft were edited; `items` are mine as they are now; without any left, I am not asked.

    When: in the transaction, the invoice is locked, nothing written yet. `known` holds the needs `of="billing"`.
    Returns: changes of the plugin's own tables.
    May raise: `Refused`; the draft then stays as it was.
    Order: must not matter.
    Added in 0.1. Example: docs/hooks/on_invoice_changed.md
    """


@hookspec
def before_invoice_issued(invoice: InvoiceFacts, items: tuple[BilledItem, ...], known: Known) -> None:
    """Veto the issue of an invoice with these items of mine.

    When: in the transaction, the invoice is locked, before anything is written; also when a draft is paid. `known` holds the needs `of="billing"`.
    Returns: nothing.
    May raise: `Refused` with a sentence for the person who issues.
    Order: must not matter: all checks run before any act.
    Added in 0.1. Example: docs/hooks/before_invoice_issued.md
    """


@hookspec
def on_invoice_issued(invoice: InvoiceFacts, items: tuple[BilledItem, ...], known: Known) -> Iterable[Change]:  # type: ignore[empty-body]
    """Say what changes because an invoice with these items of mine has just been issued.

    When: in the transaction, after every check, before the write. `known` holds the needs `of="billing"`.
    Returns: changes of the plugin's own tables.
    May raise: `Refused`; the invoice then stays a draft.
    Order: must not matter.
    Added in 0.1. Example: docs/hooks/on_invoice_issued.md
    """


@hookspec
def before_invoice_cancelled(invoice: InvoiceFacts, items: tuple[BilledItem, ...], known: Known) -> None:
    """Veto the cancelling of an invoice with these items of mine (nothing of it is paid).

    When: in the transaction, the invoice is locked, before anything is written. `known` holds the needs `of="billing"`.
    Returns: nothing.
    May raise: `Refused` with a sentence for the person who cancels.
    Order: must not matter.
    Added in 0.1. Example: docs/hooks/before_invoice_cancelled.md
    """


@hookspec
def on_invoice_cancelled(invoice: InvoiceFacts, items: tuple[BilledItem, ...], known: Known) -> Iterable[Change]:  # type: ignore[empty-body]
    """Say what changes because an invoice with these items of mine has just been cancelled.

    When: in the transaction, after every check, before the write. `known` holds the needs `of="billing"`.
    Returns: changes of the plugin's own tables.
    May raise: `Refused`; the invoice then stays.
    Order: must not matter.
    Added in 0.1. Example: docs/hooks/on_invoice_cancelled.md
    """


@hookspec
def on_invoice_written_off(invoice: InvoiceFacts, items: tuple[BilledItem, ...], known: Known) -> Iterable[Change]:  # type: ignore[empty-body]
    """Say what changes because these items of mine, of an issued invoice, will not be paid any more: credited unpaid, or the rest written off.

    When: in the transaction, after every check, before the write. `known` holds the needs `of="billing"`.
    Returns: changes of the plugin's own tables.
    May raise: `Refused`; the reversal is then undone.
    Order: must not matter.
    Added in 0.1. Example: docs/hooks/on_invoice_written_off.md
    """


# --- payments -----------------------------------------------------------------------------------------------------------------------


@hookspec
def before_items_paid(payment: PaymentFacts, items: tuple[PaidItem, ...], known: Known) -> None:
    """Veto a payment that would settle these items of mine.

    When: the invoice is locked, the tenders are checked, nothing is written; also in a dry run, where every veto is shown.
    Returns: nothing.
    May raise: `Refused` with a sentence for the cashier.
    Order: must not matter: all checks run before any act.
    Added in 0.1. Example: docs/hooks/before_items_paid.md
    """


@hookspec
def on_items_paid(payment: PaymentFacts, items: tuple[PaidItem, ...], known: Known) -> Iterable[Change]:  # type: ignore[empty-body]
    """Say what changes because these items have just been paid.

    When: the invoice is locked, the tenders are checked, nothing is written yet; once per payment, with the items of this plugin's departments.
    Amounts are minor units of `payment.currency`, quantities thousandths. `known` holds what this plugin's needs found, locked where they said so.
    Returns: changes of the plugin's own tables, and at least one effect per item if the department declares effects.
    May raise: a `Refused` error. The whole payment is then undone, number included, and its sentence is shown.
    Order: must not matter; the tests run every order.
    Added in 0.1. Example: docs/hooks/on_items_paid.md
    """


@hookspec
def before_items_refunded(refund: RefundFacts, items: tuple[RefundedItem, ...], known: Known) -> None:
    """Veto a refund of these items of mine.

    When: the invoice is locked, nothing is written. `known` holds the needs `of="refunding"`; `items` carry the stored effects.
    Returns: nothing.
    May raise: `Refused` with a sentence for the person who refunds.
    Order: must not matter.
    Added in 0.1. Example: docs/hooks/before_items_refunded.md
    """


@hookspec
def on_items_refunded(refund: RefundFacts, items: tuple[RefundedItem, ...], known: Known) -> Iterable[Change]:  # type: ignore[empty-body]
    """Undo what was done for these items: the mirror of `on_items_paid`.

    When: the invoice is locked, after every check, nothing is written yet. The stored effects name the exact rows.
    Returns: changes of the plugin's own tables, and at least one effect per item if the department declares effects.
    May raise: `Refused`; the refund is then undone.
    Order: must not matter.
    Added in 0.1. Example: docs/hooks/on_items_refunded.md
    """


# --- imports and demonstrations -----------------------------------------------------------------------------------------------------


@hookspec
def import_records(records: Records) -> Iterable[Claim]:  # type: ignore[empty-body]
    """Claim records of one visit: say which item each of them is.

    When: while an import reads a visit, before any transaction. Pure: no clock, no settings.
    Returns: `Claim` values for records of the kinds that the plugin declared; a record not claimed is counted as skipped.
    May raise: `Invalid`; the import then stops at this visit, everything before it stands.
    Order: must not matter: two plugins that claim one record stop the import.
    Added in 0.1. Example: docs/hooks/import_records.md
    """


@hookspec
def on_records_imported(imported: ImportFacts, items: tuple[ImportedItem, ...], known: Known) -> Iterable[Change]:  # type: ignore[empty-body]
    """Say what must stand before the imported items of mine are billed and paid: stock received, tests created.

    When: in the transaction that creates the imported invoice. `known` holds the needs `of="importing"`.
    Returns: changes of the plugin's own tables (no effects: there are no items yet).
    May raise: `Refused`; the visit is then not imported.
    Order: must not matter.
    Added in 0.1. Example: docs/hooks/on_records_imported.md
    """


@hookspec
def demo_records(clinic: QuotingClinic) -> Iterator[Record]:  # type: ignore[empty-body]
    """Bring records of a few visits for the demonstration clinic, dated relative to `clinic.business_date`.

    When: `billing demo` builds its clinic. The records go the way of an import: `import_records`, `on_records_imported`.
    Returns: `Record` values of the kinds that the plugin declared.
    May raise: anything; the demonstration then stops and says so.
    Order: by plugin, as everywhere.
    Added in 0.1. Example: docs/hooks/demo_records.md
    """
