"""F25, F26, F27: numbers, texts and sizes that no form would send. They are stored as they are or refused in words; nothing is ever evaluated."""

import json
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import select

from billing import registry
from billing.errors import BillingError, Invalid, NotFound, Refused
from billing.interfaces.cli.frame import Frame
from billing.model import Client
from billing.money import parse_amount, parse_quantity, parse_unit_price
from billing.rules.settlement import Scope
from billing.rules.tenders import Tender
from billing.services import documents, patients, payments
from billing.testing.world import World, items_of

NUMBERS = ["0", "-0", "-1", "1e309", "1e3", "NaN", "Infinity", "-inf", "10" * 16, "0.005", "0.0000001", str(2**63), str(-(2**63)), "", " ", "1,5", "1.2.3",
           "٣", "１２", "0x10", "1_000", "--1", "+5", "5-", "½", "true", "None", "1\0", "9" * 4000]  # fmt: skip
TEXTS = ["\0", "\ud800", "\u202egnp.exe", "🩺" * 10, "e\u0301 é", "{{7*7}}", "${7*7}", "{% raise %}", "%s%n", "' OR 1=1 --", "<script>alert(1)</script>",
         "=cmd|' /C calc'!A0", "a\nb", "\x1b[31mred", "x" * 1_000_000, "", "   "]  # fmt: skip


@pytest.fixture
def installed(sqlite_url: str) -> Iterator[World]:
    made = World(sqlite_url, plugins=registry.load())
    made.service("VIS", department=made.read(lambda tx: tx.clinic.departments[0].code), price="10.00")
    yield made
    made.dispose()


def _line(world: World, *words: str) -> Any:
    return CliRunner(catch_exceptions=False).invoke(Frame(), ["--database", world.url, "--clinic", "north", "--json", *words])


def _mixed(chance: random.Random, texts: list[str]) -> str:
    return "".join(chance.choices(["0", "1", "9", ".", "-", "e", " ", *texts[:5]], k=chance.randrange(1, 12)))


def test_odd_numbers_on_the_command_line_are_refused_in_words_or_paid_to_the_cent(
    installed: World, chance: random.Random, size: Callable[[int], int], told: Callable[..., None], books_are_well: Callable[[World], None]
) -> None:
    made = installed.invoice("VIS")
    tried = [*NUMBERS, *(_mixed(chance, NUMBERS) for _ in range(size(270)))]
    refused = 0

    for text in (each for each in tried if "\0" not in each and each != "+5"):
        result = _line(installed, "pay", str(made.number), "--transfer=" + text, "--scope", "on-account")
        if result.exit_code:
            assert result.exit_code in {2, 4}, (text[:80], result.output[:300])
            assert json.loads(result.stderr)["error"]["message"]
            refused += 1

    books_are_well(installed)
    paid = sum(row[0] for row in _paid(installed))
    assert 0 <= paid <= 1000
    told("F25", by="command line", values=len(tried), refused=refused)


def _paid(world: World) -> list[Any]:
    from billing.model import Payment

    return list(world.read(lambda tx: tx.session.execute(select(Payment.applied_minor)).all()))


@pytest.mark.parametrize("parse", [parse_amount, parse_unit_price, parse_quantity])
def test_texts_of_numbers_are_read_exactly_or_refused(
    parse: Callable[..., int], chance: random.Random, installed: World, size: Callable[[int], int], told: Callable[..., None]
) -> None:
    currency = installed.read(lambda tx: tx.clinic.currency)
    arguments = () if parse is parse_quantity else (currency,)
    tried = [*NUMBERS, *(_mixed(chance, NUMBERS) for _ in range(size(300) * 10))]
    refused = 0

    for text in tried:
        try:
            value = parse(text, *arguments)
        except Invalid:
            refused += 1
        else:
            assert type(value) is int
            assert abs(value) < 2**63
            assert text.strip().lstrip("+-").replace(".", "").isascii()

    told("F25", by=parse.__name__, values=len(tried), refused=refused)


@pytest.mark.parametrize("value", [True, 1.5, float("nan"), 2**63, -1, 0, "10", None, 10**30])
def test_amounts_of_other_kinds_are_refused_by_the_services(value: Any, world: World) -> None:
    world.service("VIS")
    invoice = world.invoice("VIS").id

    with pytest.raises((BillingError, TypeError, ValueError)):
        world.run(lambda tx: payments.take_payment(tx, invoice_id=invoice, scope=Scope.all(), tenders=[Tender("transfer", value)]))

    assert world.dump()["payment"] == []


def test_odd_texts_are_stored_as_they_are_or_refused_and_printed_harmless(world: World, told: Callable[..., None]) -> None:
    world.service("VIS")
    stored = refused = 0

    for text in TEXTS:
        try:
            patient = world.run(lambda tx, text=text: patients.add_patient(tx, name=text).id)  # type: ignore[misc]
        except (Invalid, Refused) as error:
            assert error.sentence  # noqa: PT017 - both outcomes are right
            refused += 1
            continue
        stored += 1
        assert text.strip() in world.read(lambda tx: list(tx.session.scalars(select(Client.name))))
        invoice = world.invoice("VIS", patient_id=patient).id
        page = world.run(lambda tx, invoice=invoice: documents.print_invoice(tx, invoice_id=invoice)).content  # type: ignore[misc]
        assert "<script>alert" not in page
        assert "49" not in page or "7*7" not in text

    assert (stored > 0, refused > 0) == (True, True)
    told("F26", texts=len(TEXTS), stored=stored, refused=refused, evaluated=0)


def test_invoice_beyond_all_sizes_is_refused_and_a_large_one_is_paid(world: World, told: Callable[..., None], full: bool) -> None:
    world.lot(world.service("AMX", department="shelf", price="1.00"), "1000000")
    patient, large = world.patient(), 10_000 if full else 500

    with pytest.raises(Invalid):
        world.invoice(*["AMX"] * 10_001, patient_id=patient)
    made = world.invoice(*["AMX"] * large, patient_id=patient)
    taken = world.pay(made.id, f"card {large}")

    assert (len(taken.items), taken.status) == (large, "paid")
    told("F27", items_paid=large, items_refused=10_001)


def test_unknown_ids_of_every_shape_are_not_found_or_refused(world: World) -> None:
    for text in (
        "",
        "x",
        "00000000-0000-7000-8000-000000000000",
        "x" * 100_000,
        "\0",
        "\ud800",
        "1; DROP TABLE payment",
        "../../etc/passwd",
    ):
        with pytest.raises((NotFound, Invalid, Refused)):
            world.pay(text, "cash 10")
    assert items_of(["VIS"])[0].quantity_milli == 1000
