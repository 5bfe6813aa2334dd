"""G8: what plugins cost a payment that they have no part in: 0, 10 and 50 of them beside the standard ones, enabled in the clinic."""

from collections.abc import Mapping
from typing import Any

from bench.cashiers import ServiceCashier, deal, settle, works
from bench.clinic import departments_that_ship, found, open_bench, prepare
from bench.report import Section, Table
from bench.rounds import Plan, median, percentile, rate, ratios, run
from billing.plugin import Declaration, Department, hookimpl
from billing.registry import Registry, of_modules
from billing.testing.postgres import running_postgres

MOST = 50
PER_BLOCK = 60


class Bystander:
    """A plugin with a department of its own, which implements the payment's hooks."""

    def __init__(self, code: str) -> None:
        self.code = code

    @hookimpl
    def declare(self) -> Declaration:
        """Declare the department."""
        return Declaration(departments=(Department(self.code, self.code.title(), effects=False),))

    @hookimpl
    def before_items_paid(self) -> None:
        """Refuse nothing."""

    @hookimpl
    def on_items_paid(self) -> tuple[()]:
        """Change nothing."""
        return ()


def registry_with(bystanders: int) -> Registry:
    """Return the standard plugins and so many more."""
    more = {f"bystander{place}": Bystander(f"bystander{place}") for place in range(bystanders)}
    return Registry([*departments_that_ship().plugins, *of_modules(more).plugins])


class _Among(ServiceCashier):
    """Pays through the service API with bystanders installed."""

    bystanders = 0

    def __init__(self, url: str, place: int = 0) -> None:
        self.database = open_bench(url, registry_with(self.bystanders))


class AmongNone(_Among):
    """With none."""


class AmongTen(_Among):
    """With ten."""

    bystanders = 10


class AmongMost(_Among):
    """With fifty."""

    bystanders = MOST


CONTENDERS: Mapping[str, Any] = {"0": AmongNone, "10": AmongTen, str(MOST): AmongMost}


def measure(rounds: int) -> Section:
    """Return the table of G8."""
    plan = Plan(CONTENDERS, rounds, PER_BLOCK)
    with running_postgres(durable=True) as server:
        server.create_database("plugins")
        url = server.url("plugins")
        prepare(url)
        database = open_bench(url, registry_with(MOST))
        pieces = works(database, found(database, "north"), plan.pieces * len(CONTENDERS))
        database.dispose()
        settle(url)
        blocks = run(url, plan, [deal(pieces, list(CONTENDERS), plan.pieces)])
    alone = median(blocks, "0", lambda block: block.client_ms)
    rows = [
        (
            name,
            str(ratios(blocks, name, "0", rate)),
            f"{median(blocks, name, lambda block: block.client_ms):.2f}",
            f"{(median(blocks, name, lambda block: block.client_ms) - alone) * 1000:+.0f}",
            f"{percentile(blocks, name, 0.5):.1f}",
        )
        for name in CONTENDERS
    ]
    return Section(
        "plugins",
        "G8: plugins that have no part in the payment",
        f"One client, {rounds} interleaved rounds of {PER_BLOCK} payments of 5 items. The standard plugins are there always; the others have a "
        "department each in the clinic and no item on the invoice. Goal: less than 50 us of CPU with 10, 100 us with 50.",
        [Table(("more plugins", "rate", "client CPU-ms", "more CPU, us", "p50 ms"), rows)],
    )
