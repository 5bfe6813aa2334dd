"""Permissions and clinics, over every command there is: who is let in, and what another clinic's id is answered with."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pytest
from billing_laboratory.catalogue import add_range
from billing_laboratory.model import LabOrder
from billing_laboratory.rules import Range
from click.testing import CliRunner, Result
from sqlalchemy import select

from billing.errors import NotFound
from billing.interfaces.cli.console import Console
from billing.interfaces.cli.failures import BUG_EXIT_CODE
from billing.interfaces.cli.frame import Frame
from billing.model import new_id
from billing.rules.roles import Role
from billing.services import consultations, patients, payers, prices, staff
from billing.services.installation import open_database
from billing.testing.surface import OpenConsole, find_commands
from billing.transaction import Transaction

if TYPE_CHECKING:
    from tests.cases.conftest import CaseWorld

ROLES = [role for role in Role if role is not Role.OPERATOR]

# What everybody may do, and why.
OPEN = {
    "init": "nobody is there yet",
    "restore": "into an empty database, in which nobody is",
    "demo": "in a database of its own",
    "totals": "computes a file",
    "completion": "prints a script",
    "db status": "the installation's own state",
    "db upgrade": "for whoever may write the database",
    "db grant": "for the owner of the database's tables",
    "db distribute": "for the owner of the database's tables",
    "dev failpoints": "prints a list that the program carries",
    "plugins list": "what is installed, whoever may run the program",
    "plugins settings": "how the clinic works, for its members",
    "clinic list": "the clinics that one is a member of",
    "clinic show": "how the clinic works, for its members",
    "clinic policy": "how the clinic works, for its members",
    "clinic departments": "how the clinic works, for its members",
}

# Not called: they would leave this test's database, and ask nobody (see above).
LEAVING = {"init", "restore", "demo", "db upgrade"}

# A permission is had in a clinic; outside of all of them only the operator has any.
OUTSIDE = {"clinic create", "backup"}

# What a command needs beyond its required parameters to come to its service, or may name; every text is a line of its own.
LINES: Mapping[str, Sequence[str]] = {
    "clinic set": ["--name North"],
    "clinic policy": ["", "cashier_creates_invoices=false"],
    "clinic departments": ["", "consultation laboratory pharmacy"],
    "price set": ["--price 2.00", "--unit box"],
    "series set": ["--standard", "--reset never"],
    "plugins settings": ["", "nothing=1"],
    "client set": ["--name Ada"],
    "patient add": ["--client <client_id>"],
    "patient list": ["", "--client <client_id>"],
    "patient set": ["--name Ada", "--client <client_id>"],
    "consultation list": ["", "--patient <patient_id>", "--provider <provider>"],
    "consultation open": ["<consultation_id>", "--patient <patient_id> --provider <provider>"],
    "invoice create": ["--patient <patient_id> --item VISIT"],
    "invoice preview": ["--patient <patient_id> --item VISIT"],
    "invoice edit": ["--note x"],
    "invoice list": ["", "--patient <patient_id>"],
    "pay": ["<invoice> --card 1", "<invoice> --dry-run", "--consultation <consultation_id> --card 1"],
    "pay-all": ["<invoice> --card 1", "--client <client_id> --card 1"],
    "coverage list": ["", "--client <client_id>"],
    "cover": ["--none"],
    "claim list": ["", "--payer AXA"],
    "refund": ["--all", "--amount 1", "--all --dry-run"],
    "return": ["--all"],
    "receipt list": ["", "--invoice <invoice>"],
    "audit list": ["", "--subject <invoice>"],
    "fee list": ["", "--service <code>"],
    "fee shares": ["", "--provider <provider>"],
    "fee terms": ["", "--provider <provider> --share 10"],
    "lab range add": ["--low 1"],
    "stock list": ["", "--batches", "--code <code>"],
    "stock moves": ["", "--code <code>"],
}
NEW = {"discount add", "price add", "clinic create", "payer add", "payer set"}
"""What names something that is being made."""

TEXTS = {
    **dict.fromkeys(["unit_price", "price", "unit_cost", "amount"], "1.00"),
    "quantity": "1",
    "percent": "10",
    "expires": "2099-01-31",
    "planned_at": "2030-06-01T09:30",
    "currency": "EUR",
    "time_zone": "UTC",
    "shape": "X-{value}",
    "role": "cashier",
    "subject": "<receipt>",
    "tender": "card=1",
    "worth": "10%",
    "service": "<code>",
    "department": "pharmacy",
}
OF_TYPES = {"Day": "2030-01-31", "DateTime": "2030-01-31", "IntRange": "1", "IntParamType": "1"}

EXPORT = {
    "patients": "Id,BIRTHDATE,FIRST,LAST,GENDER,CITY,STATE,ZIP\np,1980-01-31,Ada,Byron,F,Oak,Ohio,123",
    "encounters": "Id,START,STOP,PATIENT,PROVIDER,PAYER,ENCOUNTERCLASS,CODE,DESCRIPTION,BASE_ENCOUNTER_COST,PAYER_COVERAGE\n"
    "e,2020-01-31T09:00:00Z,2020-01-31T10:00:00Z,p,d,n,ambulatory,1,Visit,100.00,0.00",
    "payers": "Id,NAME",
    "procedures": "START,STOP,PATIENT,ENCOUNTER,CODE,DESCRIPTION,BASE_COST",
    "medications": "START,PATIENT,ENCOUNTER,CODE,DESCRIPTION,BASE_COST,DISPENSES",
    "immunizations": "DATE,PATIENT,ENCOUNTER,CODE,DESCRIPTION,BASE_COST",
    "lab_observations": "DATE,PATIENT,ENCOUNTER,CODE,DESCRIPTION,VALUE,UNITS,TYPE",
}


def _stub(parameter: click.Parameter, files: Path) -> str:
    if isinstance(parameter.type, click.Choice):
        return str(parameter.type.choices[0])
    if isinstance(parameter.type, click.Path | click.File):
        return str(files / ("" if parameter.name == "folder" else "file.csv"))
    named = parameter.metavar.lower() if parameter.metavar in {"INVOICE", "RECEIPT", "ORDER"} else parameter.name
    return OF_TYPES.get(type(parameter.type).__name__) or TEXTS.get(parameter.name or "") or f"<{named}>"


@pytest.fixture
def lines(tmp_path: Path) -> list[tuple[str, list[str]]]:
    """Return every command with arguments that fit it; what stands in <> is still to be named."""
    for name, header in EXPORT.items():
        (tmp_path / f"{name}.csv").write_text(f"{header}\n")
    (tmp_path / "file.csv").write_text("service_code,lot,expires_on,quantity,unit_cost\n")
    found = []
    for path, command in find_commands():
        needed: list[str] = []
        for parameter in (each for each in command.params if each.required):
            flag = isinstance(parameter, click.Option) and parameter.is_flag
            needed += [parameter.opts[0]] if isinstance(parameter, click.Option) else []
            needed += [] if flag else [_stub(parameter, tmp_path)]
        found += [(path, [*path.split(), *needed, *extra.split()]) for extra in LINES.get(path, [""]) if path not in LEAVING]
    return found


@pytest.fixture
def norths(world: "CaseWorld") -> dict[str, str]:
    """Return something of North of each kind, by what lines call it."""
    patient = world.patient()
    bill = world.n1(patient_id=patient)
    taken = world.pay(bill.id, "card 44", scope="laboratory")

    def unit(tx: Transaction) -> dict[str, str]:
        provider = staff.add_provider(tx, name="Dr. Who").id
        visit = consultations.open_consultation(tx, patient_id=patient, provider_id=provider)
        code = prices.add_service(tx, code="OF-north", department="pharmacy", description="Only here", unit_price_e4=1).code
        order = tx.session.scalars(select(LabOrder.id)).one()
        limits = add_range(tx, analyte_code="2345-7", limits=Range(low="1"))
        payer = payers.add_payer(tx, code="AXA-north", name="Only here").code
        client = patients.read_patient(tx, patient_id=patient).client_id
        found = {"consultation_id": visit.id, "provider": provider, "member": provider, "code": code, "order": order}
        return found | {"range_id": limits, "client_id": client, "payer": payer}

    return {"patient_id": patient, "invoice": bill.id, "receipt": taken.id} | world.run(unit)


def _named(line: Sequence[str], names: Mapping[str, str]) -> list[str]:
    return [names.get(word[1:-1], new_id()) if word.startswith("<") else word for word in line]


@pytest.fixture
def hired(world: "CaseWorld") -> dict[Role, str]:
    """Return a login of North for each role."""
    for role in ROLES:
        world.run(lambda tx, role=role: staff.add_staff(tx, login=f"the-{role}", name=f"The {role}", role=role))  # type: ignore[misc]
    return {role: f"the-{role}" for role in ROLES}


def _run(console: Console, line: Sequence[str], login: str, clinic: str) -> Result:
    result = CliRunner().invoke(Frame(), ["--json", *line, "--as", login, "--clinic", clinic], obj=console)
    assert result.exit_code != BUG_EXIT_CODE, (line, result.stderr)
    return result


def _missing(console: Console, line: Sequence[str], login: str) -> str | None:
    """Return the permission for which the line was refused, or None where it was let in."""
    result = _run(console, line, login, "north")
    try:
        error = json.loads(result.stderr)["error"]
    except (ValueError, KeyError):
        return None
    assert error["code"] != "usage", (line, error)
    return str(error["permission"]) if error["code"] == "permission_missing" else None


class Forgetful(dict[Any, Any]):
    """Keeps nothing of what was read: each unit asks again what it may."""

    def __setitem__(self, key: Any, value: Any) -> None:
        pass


@pytest.mark.case("P45")
def test_each_command_lets_in_exactly_the_roles_of_its_permission(
    world: "CaseWorld", hired: dict[Role, str], lines: list[tuple[str, list[str]]], norths: dict[str, str], billing: Callable[..., Any]
) -> None:
    """hmislk/hmis#13006: the privilege was checked in one of two code paths."""
    granted: set[str] = set()
    learning = open_database(world.url, plugins=world.registry)
    ground = learning._ground  # noqa: SLF001 - what each unit may is asked anew here, and not kept
    learning._ground = replace(ground, permissions=lambda *_: frozenset(granted), contexts=Forgetful())  # noqa: SLF001
    anybody, real = OpenConsole(world.registry, learning), OpenConsole(world.registry, world.database)
    plugins = [plugin.name for plugin in world.registry.plugins]
    wrong, asking = [], set()
    (importing,) = (words for path, words in lines if path == "import synthea")
    _run(real, importing, world.actor, "north")  # from the first import on its two actors are members; it took staff.manage

    for path, words in lines:
        granted.clear()
        line = _named(words, norths | ({"name": "pharmacy"} if path.startswith("plugins ") else {}))
        while (missing := _missing(anybody, line, hired[Role.CASHIER])) and missing not in granted:
            granted.add(missing)
        asking |= {path} if granted else set()
        for role, login in hired.items():
            may = granted <= world.registry.permissions_of(role, {}, plugins) and path not in OUTSIDE
            if (_missing(real, line, login) is None) is not may:
                wrong.append((line, role))

    assert wrong == []
    assert {path for path, _ in lines} - asking == set(OPEN) - LEAVING - {"clinic policy", "clinic departments", "plugins settings"}
    assert len(asking) > 80
    learning.dispose()


@pytest.mark.case("P47")
def test_what_is_norths_does_not_exist_for_south_in_any_command(
    world: "CaseWorld", lines: list[tuple[str, list[str]]], norths: dict[str, str], billing: Callable[..., Any]
) -> None:
    """Hasnayeen/invobook#1523: one model missed the filter by tenant."""
    console = OpenConsole(world.registry, world.database)
    nobodys = {kind: "OF-nobody" if kind == "code" else new_id() for kind in norths}
    nobodys["member"] = nobodys["provider"]  # as it is in North
    before = world.dump()
    wrong, tried = [], 0

    for path, words in lines:
        if path in NEW or not any(f"<{kind}>" in words for kind in norths):
            continue
        answers = []
        for names in (norths, nobodys):
            result = _run(console, _named(words, names), world.actor, "south")
            answers.append((result.exit_code, _without(names, result.stdout), _without(names, result.stderr)))
        tried += 1
        if answers[0] != answers[1] or (
            answers[0][0] != NotFound.exit_code and answers[0][1] != "[]\n" and "choose_invoice" not in answers[0][2]
        ):
            wrong.append((words, answers))

    assert wrong == []
    assert tried > 40
    assert world.dump() == before


def _without(names: Mapping[str, str], text: str) -> str:
    for kind, name in names.items():
        text = text.replace(name, kind)
    return text
