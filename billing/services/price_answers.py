"""What plugins say to the lines of an invoice: prices, allowances and charges of their own lines. Computes no total."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from billing import registry
from billing.changes.kernel import violation
from billing.errors import PluginViolation
from billing.facts import Allowance, Charge, PatientFacts, Price, QuotedLine, QuotingClinic
from billing.model import canonical_json
from billing.money import check_amount, check_unit_price
from billing.registry import Plugin
from billing.services.acting import Needs, by_plugin, facts_for, item_rows, known_of, listening, need_calls
from billing.services.quotation import QuotedItem, Reduction
from billing.transaction import Transaction


@dataclass(frozen=True, slots=True)
class PriceAnswers:
    """The items at the prices that stand, the plugins' reductions, and what the plugins that hear of the next step want to know."""

    items: list[QuotedItem]
    reductions: list[Reduction]
    needs: Needs
    found: Sequence[Sequence[Any]]


def ask_prices(tx: Transaction, quoted: Sequence[QuotedItem], patient: PatientFacts, visit: str | None, hook: str | None) -> PriceAnswers:
    """Ask every plugin for prices, allowances and charges of its own lines; the needs of `hook` are read in the same trip.

    A price that a person gave stands. Raises what a plugin refuses with, or `PluginViolation`.
    """
    owners = by_plugin(tx, quoted)
    asked = [plugin for plugin, _ in owners.values() if registry.of(tx).listens(plugin, "quote_lines")]
    hearing = [plugin for plugin in listening(tx, hook) if plugin.name in owners] if hook else []
    rows = canonical_json(item_rows(quoted, patient))
    prices = need_calls(tx, asked, "quoting", rows=rows)
    step = need_calls(tx, hearing, "billing", rows=rows)
    calls = [call for _, call in (*prices, *step)]
    found = tx.trip(*calls) if calls else []
    result = {item.position: item for item in quoted}
    reductions: list[Reduction] = []
    clinic = QuotingClinic(tx.clinic_id, tx.clinic.currency, tx.business_date, tx.at)
    for plugin in asked:
        own = owners[plugin.name][1]
        lines = tuple(_line(item, patient, visit) for item in own)
        known = known_of(plugin, prices, found[: len(prices)])
        answers = registry.of(tx).quote_lines(plugin, facts_for(tx, plugin, clinic), lines, known)
        _take_answers(plugin, {item.position for item in own}, answers, result, reductions)
    return PriceAnswers([result[item.position] for item in quoted], reductions, step, found[len(prices) :])


def _take_answers(
    plugin: Plugin, own: set[int], answers: Sequence[Any], result: dict[int, QuotedItem], reductions: list[Reduction]
) -> None:
    for answer in answers:
        if not isinstance(answer, (Price, Allowance, Charge)) or answer.position not in own or not isinstance(answer.reason, str):
            raise _bad_quote(plugin, f"it answered {type(answer).__name__} for a line that is not its own, or without a reason")
        item = result[answer.position]
        if isinstance(answer, Price):
            if type(answer.unit_price_e4) is not int or answer.unit_price_e4 < 0:
                raise _bad_quote(plugin, f"its price for {item.code} is no amount")
            if not item.person_price:
                result[answer.position] = replace(item, unit_price_e4=check_unit_price(answer.unit_price_e4), price_reason=answer.reason)
        elif type(answer.amount_minor) is not int or answer.amount_minor < 0:
            raise _bad_quote(plugin, f"its allowance or charge for {item.code} is no amount")
        elif answer.amount_minor:
            is_charge = isinstance(answer, Charge)
            reductions.append(Reduction(is_charge, check_amount(answer.amount_minor), answer.reason, item.tax, item.position, plugin.name))


def _bad_quote(plugin: Plugin, reason: str) -> PluginViolation:
    return violation(plugin.name, "quote_lines", reason)


def _line(item: QuotedItem, patient: PatientFacts, visit: str | None) -> QuotedLine:
    return QuotedLine(
        position=item.position,
        department=item.department,
        code=item.code,
        service_id=item.service_id,
        quantity_milli=item.quantity_milli,
        unit_price_e4=item.unit_price_e4,
        patient=patient,
        provider_id=item.provider_id,
        visit=visit,
    )
