"""What the project's own files promise about each other."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
PROJECTS = [ROOT / "pyproject.toml", *sorted(ROOT.glob("plugins/*/pyproject.toml"))]
OPEN_TO_PLUGINS = {"plugin", "testing"}

every_project = pytest.mark.parametrize("project", [pytest.param(path, id=path.parent.name) for path in PROJECTS])


def read(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text(encoding="utf-8"))


def name_of(requirement: str) -> str:
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert found, requirement
    return found.group().lower().replace("_", "-")


@every_project
def test_every_requirement_is_pinned(project: Path) -> None:
    pinned = {name_of(line) for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line}
    metadata = read(project)["project"]
    extras = metadata.get("optional-dependencies", {}).values()

    wanted = {name_of(each) for each in [*metadata["dependencies"], *(each for extra in extras for each in extra)]}

    assert wanted - pinned <= {"clinic-billing"}, "run: make constraints"


def test_constraints_work_with_any_registry() -> None:
    assert "//" not in (ROOT / "constraints.txt").read_text()


@every_project
def test_versions_go_together(project: Path) -> None:
    assert read(project)["project"]["version"] == read(PROJECTS[0])["project"]["version"]


def test_every_core_module_is_closed_to_plugins() -> None:
    modules = {path.stem for path in (ROOT / "billing").iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    contracts = read(PROJECTS[0])["tool"]["importlinter"]["contracts"]

    (closed,) = [contract["protected_modules"] for contract in contracts if contract["type"] == "protected"]

    assert set(closed) == {f"billing.{name}" for name in modules - OPEN_TO_PLUGINS - {"__init__"}}


def test_every_plugin_is_under_the_import_contract_and_typed() -> None:
    settings = read(PROJECTS[0])["tool"]
    folders = [path.parent for path in PROJECTS[1:]]

    assert {f"billing_{folder.name}" for folder in folders} | {"billing"} == set(settings["importlinter"]["root_packages"])
    assert {f"$MYPY_CONFIG_FILE_DIR/plugins/{folder.name}" for folder in folders} < set(settings["mypy"]["mypy_path"])
    assert all((folder / f"billing_{folder.name}" / "py.typed").exists() for folder in folders)
