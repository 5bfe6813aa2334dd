from dataclasses import fields

import pytest

from billing.settings import PREFIX, BadSetting, Settings, read_settings


def test_every_setting_has_a_description_and_an_example_that_can_be_used() -> None:
    for each in fields(Settings):
        variable, example = PREFIX + each.name.upper(), each.metadata["example"]

        assert each.metadata["description"].endswith("."), each.name
        assert str(getattr(read_settings({variable: example}), each.name)) in {example, "True"}, each.name


def test_empty_environment_gives_the_defaults_and_a_file_in_the_users_folder() -> None:
    settings = read_settings({"HOME": "elsewhere", "BILLING_NONSENSE": "1"})

    assert settings.actor == "operator"
    assert settings.plugin_names is None
    assert settings.database_url.startswith("sqlite:///")
    assert settings.database_url.endswith("billing.sqlite3")


@pytest.mark.parametrize(("text", "names"), [("", []), ("first", ["first"]), (" first , second,", ["first", "second"])])
def test_plugins_are_named_by_commas_and_none_is_none(text: str, names: list[str]) -> None:
    assert read_settings({"BILLING_PLUGINS": text}).plugin_names == names


@pytest.mark.parametrize(("text", "on"), [("1", True), ("true", True), ("YES", True), ("0", False), ("", False), ("off", False)])
def test_switch_is_on_or_off(text: str, on: bool) -> None:
    assert read_settings({"BILLING_DEBUG": text}).debug is on


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("ACTOR", ""),
        ("DEBUG", "maybe"),
        ("HOOK_BUDGET_SECONDS", "soon"),
        ("HOOK_BUDGET_SECONDS", "0"),
        ("HOOK_BUDGET_SECONDS", "61"),
        ("LOCK_TIMEOUT_SECONDS", "-1"),
        ("IDLE_TIMEOUT_SECONDS", "nan"),
        ("STATEMENT_TIMEOUT_SECONDS", "inf"),
    ],
)
def test_setting_that_can_not_be_used_is_named_with_an_example(name: str, text: str) -> None:
    with pytest.raises(BadSetting, match=rf"^BILLING_{name} can't be used: .+\. Example: BILLING_{name}=\S+$") as caught:
        read_settings({f"BILLING_{name}": text})

    assert caught.value.facts == {"variable": f"BILLING_{name}"}
