"""Bugs that somebody might make, each with the tests that must notice. A bug is one text of one file, replaced by another.

A text that does not stand in its file exactly once fails the test: whoever changes the code changes the bug along with it.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Bug:
    """A bug: `old` in `file` becomes `new`, and every one of `tests` must fail."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    def __str__(self) -> str:
        return self.name


BUGS = (
    # --- money ---
    Bug(
        "halves are cut off",
        "billing/money.py",
        "    return (2 * numerator + denominator) // (2 * denominator)\n",
        "    return numerator // denominator\n",
        ("tests/rules/test_money.py::test_halves_are_rounded_away_from_zero",),
    ),
    Bug(
        "tax is computed with floats",
        "billing/rules/totals.py",
        "    return divide_half_up(amount * rate_bp, WHOLE_BP)",
        "    return round(amount * rate_bp / WHOLE_BP)",
        ("tests/rules/test_totals.py::test_halves_of_a_tax_are_rounded_up_whatever_their_size",),
    ),
    Bug(
        "tax is computed before the discount",
        "billing/rules/totals.py",
        "        amount = sum(group_nets) + adjustment_minor",
        "        amount = sum(group_nets)",
        ("tests/rules/test_totals.py::test_tax_is_taken_after_the_document_discount",),
    ),
    Bug(
        "an allocation loses a cent",
        "billing/money.py",
        "    for index in by_rest[: abs(missing)]:",
        "    for index in by_rest[: abs(missing) - 1]:",
        ("tests/rules/test_money.py::test_allocation_gives_the_largest_remainders_the_rest",),
    ),
    Bug(
        "more than due is kept, whatever the method",
        "billing/rules/tenders.py",
        "    if 0 <= tendered - payable_minor <= changeable:",
        "    if 0 <= tendered - payable_minor:",
        ("tests/rules/test_tenders.py::test_more_than_due_is_refused_where_it_can_not_be_given_back",),
    ),
    # --- the invoice ---
    Bug(
        "an invoice with unpaid items counts as paid",
        "billing/rules/statuses.py",
        "    if due == 0 and (written_off_minor > 0 or not has_unpaid_items):",
        "    if due == 0:",
        ("tests/rules/test_statuses.py::test_stored_status_is_the_first_that_holds",),
    ),
    Bug(
        "a small department overtakes one that is not covered",
        "billing/rules/settlement.py",
        "        if _total(of_department) > on_account:\n            break",
        "        if _total(of_department) > on_account:\n            continue",
        ("tests/rules/test_settlement.py::test_smaller_department_does_not_overtake_one_that_is_not_covered",),
    ),
    Bug(
        "a number falls into the period of Greenwich",
        "billing/services/numbering.py",
        "    period = numbers.period(reset, tx.business_date)",
        "    period = numbers.period(reset, tx.at.date())",
        ("tests/services/test_payments.py::test_receipt_numbers_start_again_with_the_clinics_own_new_year[sqlite]",),
    ),
    Bug(
        "numbers are counted outside of the transaction",
        "billing/changes/sqlite.py",
        "        number.value = _take(driver, clinic_id, number)",
        "        number.value = _order_of.__dict__[number.series] = _order_of.__dict__.get(number.series, 0) + 1",
        ("tests/services/test_invoices.py::test_number_of_a_unit_that_is_undone_after_it_was_taken_goes_to_the_next_one[sqlite]",),
    ),
    Bug(
        "the event of an issue is told by somebody else, later",
        "billing/services/invoice_steps.py",
        '    tx.emit("invoice.issued", opened.id,',
        '    (lambda *_, **__: None)("invoice.issued", opened.id,',
        ("tests/services/test_invoices.py::test_every_step_of_an_invoice_has_its_event_and_its_audit_entry[sqlite]",),
    ),
    # --- who may, and whose it is ---
    Bug(
        "anybody may cancel an invoice",
        "billing/services/invoice_steps.py",
        '    tx.require("invoices.cancel")\n',
        "",
        ("tests/services/test_permissions.py::test_act_is_refused_to_who_may_do_all_else[invoice_steps.cancel_invoice]",),
    ),
    Bug(
        "a query reads every clinic's rows",
        "billing/transaction/session.py",
        "        if clinic_id is None:\n            return\n",
        "        return\n",
        ("tests/boundary/test_schema.py::test_queries_of_the_session_see_one_clinic_only[sqlite]",),
    ),
    Bug(
        "a key answers any request",
        "billing/services/keys.py",
        "        if row.request_hash != self.request_hash:",
        "        if row.request_hash is None:",
        ("tests/services/test_payments.py::test_same_key_gives_the_same_answer_and_another_request_is_refused[sqlite]",),
    ),
    Bug(
        "an entry is not chained to the one before",
        "billing/rules/chain.py",
        'hashlib.sha256(previous_hash.encode("ascii") + entry + digits)',
        "hashlib.sha256(entry + digits)",
        ("tests/rules/test_chain.py::test_hash_depends_on_all_that_it_covers",),
    ),
    Bug(
        "a backup leaves tenders out",
        "billing/services/backup.py",
        "    return not name.startswith(VERSIONS) and name not in local",
        '    return not name.startswith(VERSIONS) and name not in local and name != "tender"',
        ("tests/services/test_backup.py::test_backup_goes_into_either_database_and_says_the_same_there[sqlite-sqlite]",),
    ),
    # --- locks and the boundary ---
    Bug(
        "a payment does not lock its invoice",
        "billing/services/open_invoice.py",
        "LOCK_INVOICE = Query(select_invoice(_WHICH).with_for_update(of=Invoice))",
        "LOCK_INVOICE = Query(select_invoice(_WHICH))",
        ("tests/faults/test_f01_f02_races.py::test_only_one_of_many_cashiers_takes_what_is_due[postgresql-10]",),
    ),
    Bug(
        "stock is checked before its batch is locked",
        "plugins/pharmacy/billing_pharmacy/shelf.py",
        "Batch.lot.in_(lots)).order_by(Batch.id).with_for_update()",
        "Batch.lot.in_(lots)).order_by(Batch.id)",
        ("plugins/pharmacy/tests/test_pharmacy_services.py::test_adjusting_waits_for_a_payment_that_takes_from_the_lot[postgresql]",),
    ),
    Bug(
        "a unit may commit by itself",
        "billing/transaction/session.py",
        '        raise own_end("commit")',
        "        super().commit()",
        ("tests/changes/test_misbehaviour.py::test_unit_that_commits_is_refused_by_name[sqlite]",),
    ),
    # --- departments ---
    Bug(
        "a floor is not looked at",
        "billing/changes/kernel.py",
        "                if here is not None and here + deltas[name] < floor:",
        "                if here is None:",
        ("tests/changes/test_misbehaviour.py::test_floor_holds_where_the_plugin_forgets_to_look[sqlite]",),
    ),
    Bug(
        "an item without an effect passes",
        "billing/changes/kernel.py",
        "        self._check_effects()\n",
        "",
        ("tests/changes/test_misbehaviour.py::test_violation_names_the_item_that_has_no_effect[sqlite]",),
    ),
    Bug(
        "of two adjustments of a row the later stands",
        "billing/changes/kernel.py",
        "            summed[name] = summed.get(name, 0) + delta",
        "            summed[name] = delta",
        ("tests/services/test_payments.py::test_two_items_of_one_lot_take_both_from_it[sqlite]",),
    ),
    Bug(
        "the batch that came first goes out first",
        "plugins/pharmacy/billing_pharmacy/rules.py",
        "    for batch in sorted(shelf, key=lambda each: (each.expires_on, each.id)):",
        "    for batch in sorted(shelf, key=lambda each: each.id):",
        ("plugins/pharmacy/tests/test_pharmacy_rules.py::test_takes_the_earlier_expiry_first_and_splits",),
    ),
    Bug(
        "an expired batch is sold",
        "plugins/pharmacy/billing_pharmacy/rules.py",
        "    return batch.on_hand_milli > 0 and not batch.blocked and not is_expired(batch.expires_on, today)",
        "    return batch.on_hand_milli > 0 and not batch.blocked",
        ("plugins/pharmacy/tests/test_pharmacy_rules.py::test_expired_and_blocked_batches_are_left_on_the_shelf",),
    ),
    Bug(
        "a provider has a share of the tax",
        "plugins/consultation/billing_consultation/hooks.py",
        "        share_minor = share_of(item.taxable_minor, agreed.share_bp) if agreed else 0",
        "        share_minor = share_of(item.total_minor, agreed.share_bp) if agreed else 0",
        (
            "plugins/consultation/tests/test_consultation_hooks.py::test_a_paid_visit_gives_its_provider_a_share_of_the_net_amount_and_opens_a_window",
        ),
    ),
    # --- shifts and months ---
    Bug(
        "an act joins a shift whether it is open or not",
        "billing/services/tills.py",
        '    changed = ChangedRow({"id": shift_id}, {"closed_at": None}, {"latest_at": tx.at})',
        '    changed = ChangedRow({"id": shift_id}, {}, {"latest_at": tx.at})',
        ("tests/services/test_shifts.py::test_shift_that_is_closed_under_an_act_refuses_it[sqlite]",),
    ),
    Bug(
        "a cashier is told what the drawer should hold before counting it",
        "billing/services/shift_report.py",
        "expected=None if blind else figures.expected",
        "expected=figures.expected",
        (
            "tests/services/test_shifts.py::test_own_open_shift_is_counted_blind[sqlite]",
            "tests/cases/test_threats.py::test_t02_cashier_counts_before_anybody_tells_what_should_be_there[sqlite]",
        ),
    ),
)
