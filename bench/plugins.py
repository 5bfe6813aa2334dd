"""G8: what the layer of plugins costs a payment: the same departments, items and rows, from one plugin and from ten or fifty of them.

Every item has a department of its own, and every plugin hears of the payment, is asked twice, and records an effect: what differs is into how many
plugins the departments are cut. Beside it what plugins cost that have nothing on the invoice.
"""

from collections.abc import Iterator, Mapping, Sequence

from bench.cashiers import ServiceCashier, Work, settle, works
from bench.clinic import database_on, departments_that_ship, found, open_bench, running_server
from bench.report import Section, Table
from bench.rounds import Block, Plan, median, percentile, rate, ratios, run
from billing.plugin import Change, Declaration, Department, Known, PaidItem, PaymentFacts, effect, hookimpl
from billing.registry import Registry, of_modules
from billing.services.prices import add_service
from billing.services.setup import OPERATOR_LOGIN

FEW, MANY = 10, 50
PER_BLOCK = 40
ASKED = 2
"""Hooks of a payment that each of these plugins implements."""


class Stall:
    """A plugin with departments of its own, which takes part in every payment of theirs; `asked` counts what all of them were asked."""

    asked = 0

    def __init__(self, codes: tuple[str, ...]) -> None:
        self.codes = codes

    @hookimpl
    def declare(self) -> Declaration:
        """Declare the departments."""
        return Declaration(departments=tuple(Department(code, code.title(), effects=True) for code in self.codes))

    @hookimpl
    def before_items_paid(self, payment: PaymentFacts, items: tuple[PaidItem, ...], known: Known) -> None:
        """Refuse nothing."""
        Stall.asked += 1

    @hookimpl
    def on_items_paid(self, payment: PaymentFacts, items: tuple[PaidItem, ...], known: Known) -> Iterator[Change]:
        """Record that each item was handed over."""
        Stall.asked += 1
        for item in items:
            yield effect(item, "stall.handed_over")


def codes_of(departments: int) -> tuple[str, ...]:
    """Return the codes of so many departments."""
    return tuple(f"stall{place:02}" for place in range(departments))


def registry_of(departments: int, plugins: int) -> Registry:
    """Return the standard plugins and so many more, among which the departments are dealt out."""
    codes = codes_of(departments)
    stalls = {f"plugin{place:02}": Stall(codes[place::plugins]) for place in range(plugins)}
    return Registry([*departments_that_ship().plugins, *(of_modules(stalls).plugins if stalls else ())])


class _Cashier(ServiceCashier):
    """Pays an invoice with an item of each of so many departments, which so many plugins have among them."""

    departments, plugins, heard = FEW, 1, True

    def __init__(self, url: str, place: int = 0) -> None:
        self.database = open_bench(url, registry_of(self.departments, self.plugins))

    def do(self, work: Work) -> None:
        """Take one payment, of which every plugin has heard, or none."""
        before = Stall.asked
        super().do(work)
        assert Stall.asked - before == (ASKED * self.plugins if self.heard else 0), "not every plugin was asked"


class FewOfOne(_Cashier):
    """Ten departments of one plugin."""


class FewOfFew(_Cashier):
    """Ten departments of ten plugins."""

    plugins = FEW


class ManyOfOne(_Cashier):
    """Fifty departments of one plugin."""

    departments = MANY


class ManyOfMany(_Cashier):
    """Fifty departments of fifty plugins."""

    departments = plugins = MANY


class AmongNone(_Cashier):
    """Nothing but the standard plugins."""

    departments, plugins, heard = 0, 0, False


class AmongMany(_Cashier):
    """Fifty plugins that have nothing on the invoice."""

    departments, plugins, heard = MANY, MANY, False


COMPARED: tuple[tuple[str, type[_Cashier], type[_Cashier]], ...] = (
    (f"{FEW} plugins with an item each, to 1 with all", FewOfFew, FewOfOne),
    (f"{MANY} plugins with an item each, to 1 with all", ManyOfMany, ManyOfOne),
    (f"{MANY} plugins without an item, to none", AmongMany, AmongNone),
)
CASHIERS: Mapping[str, type[_Cashier]] = {each.__name__: each for _, *pair in COMPARED for each in pair}


def measure(rounds: int) -> Section:
    """Return the table of G8."""
    plan = Plan(dict(CASHIERS), rounds, PER_BLOCK)
    with running_server() as server:
        url = database_on(server, "plugins")
        work = {name: works_of(url, cashier, plan.pieces) for name, cashier in CASHIERS.items()}
        settle(url)
        blocks = run(url, plan, [work])
    rows = [
        (
            words,
            str(ratios(blocks, one.__name__, other.__name__, rate)),
            *(f"{median(blocks, each.__name__, lambda block: block.client_ms):.2f}" for each in (one, other)),
            str(ratios(blocks, one.__name__, other.__name__, lambda block: block.client_ms)),
            f"{_more(blocks, one, other):+.0f}",
            f"{percentile(blocks, one.__name__, 0.5):.1f}",
        )
        for words, one, other in COMPARED
    ]
    head = ("what is compared", "rate", "client CPU-ms", "the other's", "ratio", "more CPU, us", "p50 ms")
    return Section(
        "plugins",
        "G8: the layer of plugins",
        f"One client, {rounds} interleaved rounds of {PER_BLOCK} payments. Both sides of a comparison have the same departments, items, effects and "
        f"statements. Each plugin is asked {ASKED} times. Goal: less than 50 us of CPU with {FEW} plugins, 100 us with {MANY}.",
        [Table(head, rows)],
    )


def works_of(url: str, cashier: type[_Cashier], count: int) -> list[Work]:
    """Return so many invoices of a clinic of the cashier's own, ready to be paid."""
    database = open_bench(url, registry_of(cashier.departments, cashier.plugins))
    clinic = found(database, cashier.__name__.lower())
    codes = codes_of(cashier.departments) if cashier.heard else ()
    for code in codes:
        database.run(
            lambda tx, code=code: add_service(tx, code=code.upper(), department=code, description=code, unit_price_e4=10_000_000),  # type: ignore[misc]
            clinic=clinic.code,
            actor=OPERATOR_LOGIN,
        )
    made = works(database, clinic, count, tuple(code.upper() for code in codes) or ("AMOX",) * FEW)
    database.dispose()
    return made


def _more(blocks: Sequence[Block], one: type[_Cashier], other: type[_Cashier]) -> float:
    """Return the median, over the rounds, of what one takes more than the other in the same round."""
    turns = {(block.contender, block.round): block.client_ms for block in blocks}
    more = sorted(turns[one.__name__, turn] - turns[other.__name__, turn] for turn in {block.round for block in blocks})
    return more[len(more) // 2] * 1000
