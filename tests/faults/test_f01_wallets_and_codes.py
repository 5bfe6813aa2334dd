"""F01 for what is counted down: a wallet and a discount code, taken from by many at the same moment, never give more than there was."""

from collections import Counter
from collections.abc import Callable

from sqlalchemy import func, select

from billing.model import DiscountCode, DiscountUse, WalletMove
from billing.rules.tenders import Tender
from billing.services import discount_codes, doctor, patients, wallets
from billing.testing.acts import PayOut, Redeem
from billing.testing.crew import Crew
from billing.testing.race import Pay
from billing.testing.world import World


def _topped(world: World, patient: str, amount_minor: int) -> str:
    client = world.read(lambda tx: patients.read_patient(tx, patient_id=patient).client_id)
    assert client is not None
    world.run(lambda tx: wallets.top_up(tx, client_id=client, tender=Tender("card", amount_minor)))
    return client


def test_wallet_pays_as_often_as_it_can_and_never_goes_below_nothing(
    world: World, size: Callable[[int], int], told: Callable[..., None], full: bool
) -> None:
    crowd, rounds = 50 if full else 12, size(10)
    enough = crowd // 4
    world.service("VIS", price="44.00")

    with Crew(world.url, crowd) as crew:
        for _ in range(rounds):
            patient = world.patient()
            client = _topped(world, patient, 4_400 * enough + 4_399)
            invoices = [world.invoice("VIS", patient_id=patient).id for _ in range(crowd - 2)]
            acts = [[Pay(invoice, ("wallet 44",), key=invoice)] for invoice in invoices]

            codes = [outcome.code for (outcome,) in crew.race([*acts, *([[PayOut(client, 4_400)]] * 2)])]

            assert Counter(codes) == {None: enough, "wallet_too_low": crowd - enough}
            assert world.read(lambda tx, client=client: wallets.read_wallet(tx, client_id=client)).balance_minor == 4_399  # type: ignore[misc]

    moves = world.read(lambda tx: tx.session.scalar(select(func.count()).select_from(WalletMove)))
    assert moves == rounds * (1 + enough)
    assert world.read(doctor.examine).broken == ()
    told("F01", cashiers=crowd, rounds=rounds, winners=rounds * enough, losers=rounds * (crowd - enough))


def test_code_is_used_as_often_as_it_may_be(world: World, size: Callable[[int], int], told: Callable[..., None], full: bool) -> None:
    crowd, rounds, uses = 40 if full else 12, size(10), 5
    world.service("VIS", price="44.00")

    with Crew(world.url, crowd) as crew:
        for number in range(rounds):
            code = f"C{number}"
            world.run(lambda tx, code=code: discount_codes.add_code(tx, code=code, reason="sale", uses=uses, percent_bp=2_500))  # type: ignore[misc]
            drafts = [world.invoice("VIS").id for _ in range(crowd - 1)]

            outcomes = [outcome for (outcome,) in crew.race([[Redeem(draft, code)] for draft in [*drafts, drafts[0]]])]

            codes = Counter(outcome.code for outcome in outcomes)
            assert codes[None] == uses
            assert codes["code_used_up"] + codes["code_used_here"] == crowd - uses
            assert codes["code_used_here"] <= 1

    left = world.read(lambda tx: tx.session.scalars(select(DiscountCode.uses_left)).all())
    used = world.read(lambda tx: tx.session.scalar(select(func.count()).select_from(DiscountUse)))
    assert (set(left), used) == ({0}, rounds * uses)
    assert world.read(doctor.examine).broken == ()
    told("F01", cashiers=crowd, rounds=rounds, winners=rounds * uses, losers=rounds * (crowd - uses))
