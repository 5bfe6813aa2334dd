"""The commands of the group `lab`: from words on a line to rows, on both databases."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import click
import pytest
from billing_laboratory import hooks
from click.testing import CliRunner

from billing.plugin import BillingError


class Desk:
    """What the core hands to commands: it runs units in the laboratory and keeps what is shown and said."""

    def __init__(self, lab: Any) -> None:
        self.lab = lab
        self.actor = "operator"
        self.shown: Any = None
        self.said: list[str] = []

    def run(self, unit: Any) -> Any:
        return self.lab.run(unit, actor=self.actor)

    def read(self, unit: Any) -> Any:
        return self.lab.read(unit, actor=self.actor)

    def show(self, data: Sequence[Mapping[str, Any]] | Mapping[str, Any], *, columns: Sequence[str] | None = None) -> None:
        rows = [data] if isinstance(data, Mapping) else data
        assert all(set(columns or ()) <= set(row) for row in rows)
        json.dumps(data)
        self.shown = data

    def say(self, sentence: str) -> None:
        self.said.append(sentence)


@pytest.fixture
def billing(lab: Any) -> Any:
    """Run a line such as `lab worklist` as somebody and return what it shows, or says."""
    cli = click.Group()
    hooks.register_commands(cli)

    def run(*words: str, by: str = "operator") -> Any:
        desk = Desk(lab)
        desk.actor = by
        result = CliRunner().invoke(cli, ["lab", *words], obj=desk)
        if isinstance(result.exception, BillingError):
            raise result.exception
        assert result.exit_code == 0, result.output
        run.said = desk.said  # type: ignore[attr-defined]
        return desk.shown

    return run


def test_a_test_is_set_up_from_nothing(lab: Any, billing: Any) -> None:
    billing("analyte", "add", "718-7", "--name", "Hemoglobin", "--unit", "g/dL", "--decimals", "1")
    billing("range", "add", "718-7", "--low", "12.0", "--high", "16.0", "--sex", "female", "--age-from", "18y")
    billing("range", "add", "718-7", "--low", "13.0", "--high", "20.0", "--species", "dog", "--critical-low", "6")
    billing("test", "add", "NEW", "--loinc", "718-7", "--specimen", "blood")

    row = lab.measured(lab.order("NEW"), "718-7", "11.9")

    assert (row.flag, row.range_text) == ("L", "12.0 - 16.0")
    tests = {row["service"]: row for row in billing("test", "list")}
    assert tests["NEW"] == {
        "service": "NEW",
        "loinc": "718-7",
        "name": "Service NEW",
        "specimen": "blood",
        "analytes": ["718-7"],
        "active": True,
    }
    assert [(row["species"], row["sex"], row["age_from_days"], row["normal"]) for row in billing("range", "list", "718-7")] == [
        ("person", "female", 6574, "12.0 - 16.0"),
        ("dog", "any", 0, "13.0 - 20.0"),
    ]
    assert "718-7" in {row["loinc"] for row in billing("analyte", "list")}


def test_a_finding_has_a_normal_text(lab: Any, billing: Any) -> None:
    billing("analyte", "add", "5778-6", "--name", "Color of Urine", "--kind", "text")
    billing("range", "add", "5778-6", "--normal", "Yellow")

    assert [row["normal"] for row in billing("range", "list", "5778-6")] == ["Yellow"]


def test_a_day_in_the_laboratory(lab: Any, billing: Any) -> None:
    order = lab.order("K")
    short = billing("worklist", by="anna")[0]["order"]
    assert order.endswith(short)

    steps = [
        billing("collect", short, by="anna"),
        billing("receive", short, by="anna"),
        billing("enter", short, "2823-3", "7.1", by="anna"),
        billing("verify", short, "2823-3", by="bert"),
    ]
    first = billing("report", short, by="anna")
    billing("amend", short, "2823-3", "5.0", "--reason", "haemolysed", by="anna")
    billing("verify", short, "2823-3", by="bert")
    second = billing("report", short, by="anna")

    assert steps == [
        {"order": order, "status": "collected"},
        {"order": order, "status": "received"},
        {"order": order, "status": "preliminary", "analyte": "2823-3", "result": "preliminary"},
        {"order": order, "status": "final", "analyte": "2823-3", "result": "final", "flag": "HH"},
    ]
    shown = [(row["analyte"], row["value"], row["flag"], row["range"], row["status"]) for row in (*first, *second)]
    assert shown == [("Potassium", "7.1", "HH", "3.5 - 5.1", "final"), ("Potassium", "5.0", "N", "3.5 - 5.1", "amended")]
    assert any("from 7.1 to 5.0: haemolysed" in line for line in billing.said)
    assert any(order in line for line in billing.said)
    assert billing("worklist", by="anna") == []
    assert [row["id"] for row in billing("worklist", "--status", "amended", by="anna")] == [order]


def test_a_value_below_zero_is_a_value(lab: Any, billing: Any) -> None:
    order = lab.order("K")
    billing("collect", order)

    billing("enter", order, "2823-3", "-1.5")

    assert [row.value for row in lab.results(order)] == ["-1.5"]


def test_what_is_taken_out_of_use_is_shown_so(lab: Any, billing: Any) -> None:
    range_id = billing("range", "list", "94500-6")[0]["id"]

    billing("range", "retire", range_id)
    billing("test", "retire", "COV")

    assert billing("range", "list", "94500-6") == []
    assert {row["service"]: row["active"] for row in billing("test", "list")}["COV"] is False


def test_instants_are_shown_in_the_clinics_time(lab: Any, billing: Any) -> None:
    lab.order("K")

    assert billing("worklist")[0]["ordered_at"] == "2026-03-01T10:00+01:00"
