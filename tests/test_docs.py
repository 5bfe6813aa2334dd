"""The pages say what is true: their links lead somewhere, their names exist, their tables are the code's, their examples run."""

import importlib
import os
import pkgutil
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from types import ModuleType

import billing_consultation
import billing_laboratory
import billing_pharmacy
import click
import pytest
from sqlalchemy import select

import billing
from billing import registry
from billing.errors import BillingError, Conflict, Invalid, Misconfigured, NotFound, PluginViolation, Refused
from billing.interfaces.cli.frame import Frame, Lazy
from billing.model import Base
from billing.rules.roles import OPERATOR, describe
from billing.settings import PREFIX, Settings
from billing.testing import kinds
from billing.testing.world import World

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]
FAMILIES = (Invalid, NotFound, Refused, Conflict, Misconfigured, PluginViolation)
PACKAGES = (billing, billing_consultation, billing_laboratory, billing_pharmacy)
OF_THE_EXAMPLE = "kennel"
"""The command of the plugin that docs/writing-a-plugin.md makes: it is not installed here."""

every_page = pytest.mark.parametrize("path", [pytest.param(path, id=path.relative_to(ROOT).as_posix()) for path in PAGES])


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def prose(text: str) -> str:
    return re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)


def table(text: str, *, below: str) -> list[tuple[str, ...]]:
    """Return the cells of the first table below a line."""
    lines = iter(text.split(f"\n{below}\n", 1)[1].splitlines())
    rows: list[tuple[str, ...]] = []
    for line in lines:
        if line.startswith("| "):
            rows.append(tuple(cell.strip() for cell in line.strip("|").split(" | ")))
        elif rows:
            break
    return rows[2:]  # without the head and its rule


# --- what holds for every page ------------------------------------------------------------------------------------------------------


@every_page
def test_links_lead_to_pages_that_are_there(path: Path) -> None:
    links = re.findall(r"\]\(([^)]+)\)", prose(read(path)))

    missing = [link for link in links if "://" in link or not (path.parent / link.partition("#")[0]).exists()]

    assert missing == []


@every_page
def test_files_that_are_named_are_there(path: Path) -> None:
    told = re.sub(r"^`[\w./]+`$", "", prose(read(path)), flags=re.MULTILINE)  # a line of its own names the file that the next block is
    named = re.findall(r"`((?:billing|plugins|tests|tools|docs)/[\w./-]*)`", told)

    missing = [name for name in named if not (ROOT / name).exists()]

    assert missing == []


@every_page
def test_modules_and_what_they_hold_are_there(path: Path) -> None:
    for name in re.findall(r"`(billing(?:_[a-z]+)?\.[\w.]+)`", prose(read(path))):
        if name != registry.loading.GROUP:
            pkgutil.resolve_name(name)


@every_page
def test_variables_are_settings(path: Path) -> None:
    known = {PREFIX + each.name.upper() for each in fields(Settings)} | {kinds.VARIABLE}

    assert set(re.findall(r"\bBILLING_[A-Z_]+\b", read(path))) <= known


@every_page
def test_page_names_nothing_of_the_place_where_it_was_written(path: Path) -> None:
    elsewhere = re.compile(r"https?://|/(?:home|work|tmp|root|Users)/|#\d|\bissue \d")

    assert [line for line in read(path).splitlines() if elsewhere.search(line)] == []


def commands_in(text: str) -> list[str]:
    in_prose = re.findall(r"`(billing [^`]+)`", prose(text))
    in_shell = [line for block in blocks(text, "sh") for line in block.splitlines() if line.startswith("billing ")]
    return [each for each in in_prose + in_shell if each.split()[1] != OF_THE_EXAMPLE]


ALL_COMMANDS = sorted({command for path in PAGES for command in commands_in(read(path))})


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Frame]:
    """Make the tree of all commands, with a cache of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield Frame()


@pytest.mark.parametrize("line", ALL_COMMANDS)
def test_command_that_a_page_names_is_there_with_its_options(line: str, commands: Frame) -> None:
    words = iter(shlex.split(line.partition("#")[0])[1:])
    command: click.Command = commands
    context = click.Context(command)

    for word in words:
        options = {name: param for param in command.params if isinstance(param, click.Option) for name in param.opts}
        if word.startswith("--"):
            name, equals, _ = word.partition("=")
            assert name in {*options, "--help"}, f"{line}: {command.name} has no option {name}"
            if name in options and not options[name].is_flag and not equals:
                next(words, None)
        elif isinstance(command, click.Group):
            found = command.get_command(context, word)
            assert found is not None, f"{line}: {command.name} has no command {word}"
            command = found.load() if isinstance(found, Lazy) else found


def test_pages_name_many_commands() -> None:
    assert len(ALL_COMMANDS) > 40


# --- tables that are the code's -----------------------------------------------------------------------------------------------------


def test_every_setting_is_in_its_table_as_it_is() -> None:
    rows = table(read(DOCS / "operating.md"), below="## Settings")

    said = {(variable.strip("`"), what, example.strip("`")) for variable, what, _, example in rows}

    assert said == {(PREFIX + each.name.upper(), each.metadata["description"], each.metadata["example"]) for each in fields(Settings)}


def test_exit_codes_are_those_of_the_families() -> None:
    rows = table(read(DOCS / "operating.md"), below="## Exit codes")

    assert rows == [(str(each.exit_code), f"`{each.__name__}`", str(each.http_status), first_line(each)) for each in FAMILIES]


def first_line(error: type[BillingError]) -> str:
    return (error.__doc__ or "").splitlines()[0]


def errors_of_the_product() -> set[type[BillingError]]:
    for package in PACKAGES:
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if ".migrations." not in module.name and not module.name.startswith("billing.testing."):
                importlib.import_module(module.name)
    names = tuple(f"{package.__name__}." for package in PACKAGES)
    found, waiting = set[type[BillingError]](), [BillingError]
    while waiting:
        below = waiting.pop().__subclasses__()
        waiting += below
        found.update(each for each in below if each.__module__.startswith(names) and not each.__module__.startswith("billing.testing."))
    return found


def row_of(error: type[BillingError]) -> tuple[str, str, str, str]:
    """Return family, code, whose it is, and the cause: the first sentence of the class."""
    family = next(each for each in FAMILIES if issubclass(error, each))
    package = error.__module__.partition(".")[0]
    sentence = re.match(r".*?[.](?=\s|$)", " ".join((error.__doc__ or "").split()))
    assert sentence, f"{error.__name__} has no sentence"
    return family.__name__, f"`{error.code}`", package.removeprefix("billing_") if "_" in package else "core", sentence.group()


def test_every_error_stands_in_the_table_of_its_family_with_cause_and_cure() -> None:
    page = read(DOCS / "errors.md")
    said = {
        (family.__name__, code, whose, cause)
        for family in FAMILIES
        for code, whose, cause, cure in table(page, below=f"## {family.__name__}: exit code {family.exit_code}")
        if cure.endswith(".") and len(cure) > 10
    }

    wanted = {row_of(each) for each in errors_of_the_product()}

    assert not wanted - said, "\n".join(
        f"add to {family}: | {code} | {whose} | {cause} | cure |" for family, code, whose, cause in wanted - said
    )
    assert not said - wanted, "\n".join(f"remove from {family}: {code} ({cause})" for family, code, _, cause in said - wanted)


def test_permissions_of_the_core_are_those_of_the_roles() -> None:
    rows = table(read(DOCS / "permissions.md"), below="## The core")

    assert rows == [
        (
            f"`{each.name}`",
            allows_to(each.description),
            ", ".join(role for role in each.roles if role != OPERATOR) or "operator only",
            ", ".join(f"{role} (`{flag}`)" for role, flag in each.by_policy) or "-",
        )
        for each in describe()
    ]


def test_permissions_of_the_departments_are_what_they_declare() -> None:
    rows = table(read(DOCS / "permissions.md"), below="## The shipped departments")

    assert rows == [
        (
            f"`{each.name}`",
            plugin.name,
            allows_to(each.description),
            ", ".join(role for role, granted in plugin.declaration.grants.items() if each.name in granted) or "operator only",
        )
        for plugin in registry.load().plugins
        for each in plugin.declaration.permissions
    ]


def allows_to(description: str) -> str:
    return description[0].lower() + description[1:].rstrip(".")


def test_decisions_are_numbered_and_say_context_choice_and_price() -> None:
    pages = sorted((DOCS / "decisions").glob("*.md"))

    for number, path in enumerate(pages, start=1):
        assert path.name.startswith(f"{number:04}-")
        assert read(path).startswith(f"# {number:04}: ")
        assert re.findall(r"^\*\*(\w+)\.\*\*", read(path), re.MULTILINE) == ["Context", "Choice", "Price"], path.name


def test_map_names_every_part_of_the_core() -> None:
    named = set(re.findall(r"`billing/(\w+)(?:\.py|/)`", read(DOCS / "map.md").split("\n## One payment", 1)[0]))
    there = {each.stem for each in (ROOT / "billing").iterdir() if each.suffix == ".py" or (each / "__init__.py").exists()}

    assert there - {"__init__"} <= named


# --- examples that run --------------------------------------------------------------------------------------------------------------


RUN_LINES = """
import runpy, shlex, sys
from click.testing import CliRunner
from billing.interfaces.cli.frame import Frame

for line in sys.stdin.read().splitlines():
    program, *words = shlex.split(line)
    if program == "python":
        runpy.run_path(words[0])
        continue
    done = CliRunner(catch_exceptions=False).invoke(Frame(), words)
    print(done.output)
    assert done.exit_code == 0, line
"""
"""Runs lines of `billing` and `python` as a shell would, but in one process: each start costs a second."""


def run(folder: Path, *command: str, lines: str = "", path: str = "") -> str:
    """Run a program of this environment in an empty home, and return what it printed."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("BILLING_", "PYTEST_", "XDG_"))}
    done = subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env={**clean, "HOME": str(folder), "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
        input=lines,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("name", ["hooks.md"])
def test_examples_of_a_page_run(name: str) -> None:
    found = blocks(read(DOCS / name), "python")

    for example in found:
        exec(compile(example, name, "exec"), {"__name__": f"docs_{name}"})

    assert found


def test_no_page_has_an_example_that_nothing_runs() -> None:
    run_elsewhere = {ROOT / "README.md", DOCS / "hooks.md", DOCS / "writing-a-plugin.md", *(DOCS / "hooks").glob("*.md")}

    assert [path for path in PAGES if path not in run_elsewhere and blocks(read(path), "python")] == []


def test_readme_makes_a_clinic_and_takes_a_payment(tmp_path: Path) -> None:
    _, five_lines = blocks(read(ROOT / "README.md"), "sh")
    payment, _ = blocks(read(ROOT / "README.md"), "python")
    (tmp_path / "payment.py").write_text(payment)

    printed = run(tmp_path, "-c", RUN_LINES, lines=f"{five_lines}python payment.py\nbilling doctor\n")

    assert five_lines.count("\n") == 5
    assert re.search(r"^R-\d{4}-00001 paid 500$", printed, re.MULTILINE)
    assert re.search(r"^north: \d+ checks, well$", printed, re.MULTILINE)


@pytest.fixture
def kennel(tmp_path: Path) -> Iterator[ModuleType]:
    """Load the plugin of the README, and forget its table afterwards."""
    _, plugin = blocks(read(ROOT / "README.md"), "python")
    path = tmp_path / "kennel.py"
    path.write_text(plugin)
    spec = importlib.util.spec_from_file_location("kennel_of_the_readme", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    Base.metadata.remove(module.Box.__table__)
    Base.registry._dispose_cls(module.Box)  # noqa: SLF001 - the class must not stay with the shipped ones


def test_plugin_of_the_readme_sells_the_last_box_once(kennel: ModuleType, database_url: str) -> None:
    world = World(database_url, plugins=registry.of_modules({"kennel": kennel}))
    service = world.service("BOX", department="kennel", price="25.00")
    world.run(lambda tx: tx.session.add(kennel.Box(service_id=service, free_milli=1000)))
    first, second = world.invoice("BOX"), world.invoice("BOX")

    taken = world.pay(first.id, "cash 30")
    before = world.dump()
    with pytest.raises(Refused) as caught:
        world.pay(second.id, "cash 30")

    assert (taken.change_minor, caught.value.code) == (500, "below_floor")
    assert world.read(lambda tx: tx.session.scalars(select(kennel.Box.free_milli)).one()) == 0
    assert world.dump() == before
    world.dispose()


KENNEL_LINES = """\
billing init
billing clinic create --code north --name North --currency EUR --time-zone Europe/Berlin
billing price add --code BOX --department kennel --description Box --price 25.00
billing kennel build BOX --number 3
billing doctor
"""


def test_plugin_of_the_tutorial_passes_its_own_tests_and_is_found(tmp_path: Path) -> None:
    page = read(DOCS / "writing-a-plugin.md")
    for name, text in re.findall(r"^`([\w./]+)`\n\n```\w+\n(.*?)^```$", page, re.DOTALL | re.MULTILINE):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    listed = re.findall(r"^([\w./]+\.\w+)(?: +empty)?$", blocks(page, "")[0], re.MULTILINE)
    for name in listed:
        (tmp_path / name).touch()
    project = tomllib.loads(read(tmp_path / "pyproject.toml"))["project"]
    install(tmp_path, project["name"], project["version"], project["entry-points"]["billing.plugins"])

    tested = run(tmp_path, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", path=str(tmp_path))
    printed = run(tmp_path, "-c", RUN_LINES, lines=KENNEL_LINES, path=str(tmp_path))

    assert {each.relative_to(tmp_path).as_posix() for each in tmp_path.rglob("*.py")} | {"pyproject.toml"} == set(listed)
    assert re.search(r"^[5-9] passed", tested, re.MULTILINE)
    assert re.search(r"^free +3$", printed, re.MULTILINE)


def install(folder: Path, name: str, version: str, points: dict[str, str]) -> None:
    """Write what `pip install` would leave of a plugin."""
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    lines = "".join(f"{key} = {value}\n" for key, value in points.items())
    (info / "entry_points.txt").write_text(f"[billing.plugins]\n{lines}")
