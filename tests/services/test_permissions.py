"""Every verb asks for its permission before it looks at anything else; a verb that is not in the table is found and fails."""

import inspect
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from billing import registry
from billing.testing.world import World
from billing.transaction import Transaction
from billing.transaction.handle import PermissionMissing

MODULES = (
    *(
        "approvals",
        "audit",
        "cash_moves",
        "clinics",
        "consultations",
        "doctor",
        "documents",
        "exports",
        "invoice_steps",
        "invoices",
        "listing",
        "patients",
    ),
    *(
        "payment_preview",
        "payments",
        "price_files",
        "prices",
        "reading",
        "reversal_preview",
        "reversals",
        "claims",
        "covering",
        "payers",
        "series",
        "staff",
    ),
    *("discount_codes", "discount_limits", "discounts", "group_payments", "wallet_rows", "wallets"),
    *("accounts", "balances", "cash_moves", "journal_export", "periods", "shift_report", "shifts", "z_report"),
    *("gaps", "receivables", "reminders", "reports", "statements"),
    *("imports.people", "imports.summary", "imports.visits"),
    *("billing_consultation.services", "billing_laboratory.catalogue", "billing_laboratory.queries", "billing_laboratory.services"),
    *("billing_laboratory.report", "billing_pharmacy.queries", "billing_pharmacy.services", "billing_pharmacy.stockfile"),
)
"""The modules of verbs; those of the core without `billing.services`. The other modules of services hold parts of verbs."""

OPEN = {
    "accounts.chart": "a part of lists, balances and exports, which asked",
    "shift_report.read_figures": "a part of closing a shift and of its report, which asked",
    "approvals.decide": "a part of reversals, which asked",
    "approvals.find_live": "a part of acts that asked",
    "audit.recompute": "a part of the doctor, which asked",
    "clinics.list_clinics": "shows everybody their own clinics",
    "discount_limits.settle_discounts": "a part of writing a draft",
    "discounts.give_by_code": "a part of redeeming a code",
    "doctor.rules_of": "a part of `examine`, and of documentation",
    "invoice_steps.ask_step": "a part of issuing and of paying",
    "invoice_steps.prepare_issue": "a part of issuing and of paying",
    "invoice_steps.record_issue": "a part of issuing and of paying",
    "invoices.open_draft": "a part of editing and of discounts",
    "invoices.rewrite_draft": "a part of editing and of discounts",
    "listing.seen": "shows a row that was read",
    "wallet_rows.move_wallet": "a part of acts that asked",
    "reading.find_invoice_id": "turns a number into an id",
    "billing_laboratory.catalogue.find_analyte": "a part of verbs of the laboratory",
    "billing_laboratory.catalogue.ranges_of": "a part of verbs of the laboratory",
}
"""What takes a unit's `tx` and asks for nothing, and why."""

PERMISSIONS = {
    "accounts.manage": ("accounts.set_account",),
    "approvals.give": ("approvals.give_approval",),
    "audit.read": ("audit.list_entries exports.export_audit",),
    "audit.verify": ("audit.verify_chain",),
    "clinics.manage": ("clinics.create_clinic clinics.update_clinic",),
    "consultations.manage": (
        "consultations.cancel_consultation consultations.close_consultation consultations.open_consultation",
        "consultations.open_planned_consultation consultations.plan_consultation",
    ),
    "consultations.read": ("consultations.list_consultations consultations.read_consultation staff.find_provider staff.list_staff",),
    "departments.manage": ("clinics.order_departments",),
    "discounts.manage": ("discount_codes.add_code discount_codes.end_code discount_codes.list_codes",),
    "doctor.run": ("doctor.examine",),
    "documents.read": ("documents.print_invoice",),
    "exports.read": (
        "exports.export_invoices exports.export_items exports.export_payments exports.export_tenders",
        "price_files.export_prices",
    ),
    "fees.manage": (
        "billing_consultation.services.end_fee billing_consultation.services.mark_visit",
        "billing_consultation.services.set_fee billing_consultation.services.set_terms",
    ),
    "fees.read": ("billing_consultation.services.list_fees billing_consultation.services.list_terms",),
    "imports.run": (
        "imports.people.prepare_importers imports.people.prepare_patients imports.people.prepare_providers",
        "imports.summary.summarize_imports imports.visits.bill_visit",
    ),
    "invoices.cancel": ("invoice_steps.cancel_invoice",),
    "invoices.create": (
        "covering.cover_invoice",
        "invoices.create_invoice invoices.edit_invoice invoices.preview_invoice",
        "discount_codes.redeem_code discounts.discount_draft",
    ),
    "invoices.issue": ("invoice_steps.issue_invoice",),
    "invoices.read": (
        "approvals.list_approvals listing.every_invoice listing.list_invoices listing.list_payments reading.read_invoice reading.read_payment",
        "series.list_series shift_report.read_shift_report shifts.list_shifts z_report.print_shift_report",
    ),
    "journal.read": (
        "accounts.list_accounts balances.balances journal_export.export_journal journal_export.write_journal periods.list_periods",
    ),
    "lab.manage": (
        "billing_laboratory.catalogue.add_analyte billing_laboratory.catalogue.add_range",
        "billing_laboratory.catalogue.add_test billing_laboratory.catalogue.retire_range",
        "billing_laboratory.catalogue.retire_test",
    ),
    "lab.read": (
        "billing_laboratory.catalogue.list_analytes billing_laboratory.catalogue.list_ranges",
        "billing_laboratory.catalogue.list_tests billing_laboratory.queries.find_order billing_laboratory.queries.report",
        "billing_laboratory.queries.worklist",
    ),
    "lab.results.enter": (
        "billing_laboratory.services.amend_result billing_laboratory.services.collect_order",
        "billing_laboratory.services.enter_result billing_laboratory.services.receive_order",
    ),
    "lab.results.verify": ("billing_laboratory.services.verify_result",),
    "patients.read": ("patients.find_patients patients.list_clients patients.list_patients patients.read_client patients.read_patient",),
    "patients.write": ("patients.add_client patients.add_patient patients.update_client patients.update_patient",),
    "payers.manage": ("payers.add_coverage payers.add_payer payers.end_coverage payers.set_payer_active",),
    "payers.read": ("claims.list_claims payers.find_payer payers.list_coverages payers.list_payers payers.read_coverage",),
    "claims.manage": ("claims.pay_claims claims.reject_claim claims.submit_claims",),
    "payments.reverse": (
        "reversal_preview.preview_refund reversals.cancel_paid_invoice reversals.refund_items",
        "reversals.refund_on_account reversals.void_payment reversals.write_off wallets.pay_out",
    ),
    "payments.take": ("group_payments.pay_invoices payment_preview.preview_payment payments.take_payment",),
    "periods.close": ("periods.close_period",),
    "plugins.manage": ("clinics.set_plugin",),
    "prices.manage": (
        "price_files.import_prices prices.add_service prices.change_price prices.reactivate_service",
        "prices.retire_service prices.update_service",
    ),
    "prices.read": ("prices.find_service prices.list_services prices.price_history",),
    "providers.manage": ("staff.add_provider",),
    "receipts.print": ("documents.print_receipt",),
    "reminders.send": ("reminders.remind",),
    "reports.read": (
        "gaps.list_gaps receivables.aged_receivables",
        "reports.discounts reports.shift_differences reports.takings reports.tax reports.voids",
    ),
    "series.manage": ("series.add_series series.change_series series.make_standard",),
    "shares.read": ("billing_consultation.services.list_shares",),
    "shifts.work": (
        "shift_report.cash_of_shift",
        "cash_moves.answer_hand_over cash_moves.hand_over cash_moves.pay_in cash_moves.pay_out_cash",
        "shifts.close_shift shifts.open_shift",
    ),
    "staff.manage": ("staff.activate_membership staff.add_staff staff.change_role staff.deactivate_membership",),
    "stock.manage": (
        "billing_pharmacy.services.add_product billing_pharmacy.services.adjust_stock",
        "billing_pharmacy.services.receive_stock billing_pharmacy.services.write_off_expired",
        "billing_pharmacy.stockfile.import_stock",
    ),
    "stock.read": (
        "billing_pharmacy.queries.list_batches billing_pharmacy.queries.list_expiring",
        "billing_pharmacy.queries.list_moves billing_pharmacy.queries.list_stock",
    ),
    "wallets.read": ("statements.client_statement wallets.read_wallet wallets.wallet_statement",),
    "wallets.use": ("wallets.top_up",),
}
"""Every verb under the permission that it asks for."""

ASKED = {verb: permission for permission, lines in PERMISSIONS.items() for line in lines for verb in line.split()}


@pytest.fixture(scope="module")
def world(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    path = tmp_path_factory.mktemp("permissions") / "billing.sqlite3"
    shutil.copyfile(sqlite_template, path)
    made = World(f"sqlite:///{path}", plugins=registry.load())
    yield made
    made.dispose()


def _verbs() -> dict[str, Callable[..., Any]]:
    found = {}
    for module in MODULES:
        there = import_module(module if module.startswith("billing_") else f"billing.services.{module}")
        for name, function in vars(there).items():
            own = inspect.isfunction(function) and function.__module__ == there.__name__ and not name.startswith("_")
            if own and next(iter(inspect.signature(function).parameters), "") == "tx":
                found[f"{module}.{name}"] = function
    return found


@pytest.mark.parametrize("verb", ASKED)
def test_act_is_refused_to_who_may_do_all_else(verb: str, world: World) -> None:
    function = _verbs()[verb]
    _, *parameters = inspect.signature(function).parameters.values()
    needed = [each for each in parameters if each.default is each.empty]
    named = {each.name: object() for each in needed if each.kind is each.KEYWORD_ONLY}
    placed = [object() for each in needed if each.kind is not each.KEYWORD_ONLY]

    def unit(tx: Transaction) -> None:
        tx.actor = replace(tx.actor, permissions=tx.actor.permissions - {ASKED[verb]})
        outcome = function(tx, *placed, **named)
        next(iter(outcome), None)  # a verb that yields asks when it is asked for the first row

    with pytest.raises(PermissionMissing) as caught:
        world.read(unit)

    assert caught.value.facts["permission"] == ASKED[verb]


def test_every_verb_asks_for_a_permission_or_says_why_not() -> None:
    assert sorted(_verbs()) == sorted([*ASKED, *OPEN])
