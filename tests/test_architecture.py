"""Rules of the house that a syntax tree can show: each gives its reason, what to do instead, a bad and a good example."""

import ast
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAX_FUNCTION_LINES = 70
MAX_FILE_LINES = 350
VERSIONS = {"*/migrations/*_[0-9][0-9][0-9][0-9]_*.py": "a migration is read once, from top to bottom"}


@dataclass(frozen=True, slots=True)
class Source:
    """One file of the product; `path` is relative to the root."""

    path: Path
    text: str

    @property
    def nodes(self) -> Iterator[ast.AST]:
        return ast.walk(ast.parse(self.text))


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. `find` gives the lines that break it; `allowed` maps patterns of paths to the reason why they may."""

    name: str
    reason: str
    instead: str
    bad: str
    good: str
    find: Callable[[Source], Iterable[int]]
    allowed: Mapping[str, str] = field(default_factory=dict)
    suffixes: tuple[str, ...] = (".py",)
    core_only: bool = False

    def covers(self, path: Path) -> bool:
        """Say whether the rule looks at a file at all."""
        return path.suffix in self.suffixes and (path.parts[0] == "billing" or not self.core_only)

    def allows(self, path: Path) -> bool:
        """Say whether the file has its reason to do otherwise."""
        return any(fnmatchcase(path.as_posix(), pattern) for pattern in self.allowed)

    def findings(self, source: Source) -> list[str]:
        """Write one line for each place where a file breaks the rule."""
        return [f"{source.path}:{line}: {self.name}. {self.reason} Instead: {self.instead}" for line in self.find(source)]


RULES: list[Rule] = []


def house_rule(
    name: str,
    *,
    reason: str,
    instead: str,
    bad: str,
    good: str,
    allowed: Mapping[str, str] | None = None,
    suffixes: tuple[str, ...] = (".py",),
    core_only: bool = False,
) -> Callable[[Callable[[Source], Iterable[int]]], None]:
    def add(find: Callable[[Source], Iterable[int]]) -> None:
        RULES.append(Rule(name, reason, instead, bad, good, find, allowed or {}, suffixes, core_only))

    return add


@house_rule(
    "only the boundary commits and rolls back",
    reason="A payment is one transaction that several departments take part in; half of it must never be durable.",
    instead="take `tx` as the first argument and let database.run end it.",
    bad="def pay(session):\n    session.commit()\n",
    good="def pay(tx):\n    tx.session.flush()\n",
    allowed={"billing/unit.py": "it is the boundary's hand"},
)
def commits(source: Source) -> Iterator[int]:
    for node in source.nodes:
        match node:
            case ast.Call(func=ast.Attribute(attr="commit" | "rollback"), lineno=line):
                yield line


@house_rule(
    "no floats",
    reason="0.1 + 0.2 is not 0.3, and a cent that is lost can't be found again.",
    instead="whole minor units, thousandths, basis points or milliseconds; Decimal where text is read.",
    bad="vat = net * 0.19\n",
    good="vat_minor = net_minor * 1_900 // 10_000\n",
    allowed={
        "billing/settings.py": "seconds to wait, no amounts",
        "billing/registry/*": "the seconds that a hook may take, no amounts",
    },
)
def floats(source: Source) -> Iterator[int]:
    for node in source.nodes:
        match node:
            case ast.Constant(value=float(), lineno=line) | ast.Call(func=ast.Name(id="float"), lineno=line):
                yield line


@house_rule(
    "only the clock asks for the time",
    reason="A unit that reads the clock twice can fall on two days, and can't be tested at midnight.",
    instead="tx.at for the instant; billing.clock at the edge, where there is no transaction yet.",
    bad="issued_at = datetime.now(UTC)\n",
    good="issued_at = tx.at\n",
    allowed={"billing/clock.py": "it is the clock"},
)
def clocks(source: Source) -> Iterator[int]:
    for node in source.nodes:
        match node:
            case ast.Call(func=ast.Attribute(value=base, attr="now" | "utcnow" | "today"), lineno=line):
                if ast.unparse(base).split(".")[-1] in {"datetime", "date"}:
                    yield line
            case ast.Call(func=ast.Attribute(value=ast.Name(id="time"), attr="time" | "time_ns"), lineno=line):
                yield line


@house_rule(
    "only settings read the environment",
    reason="A variable that is read in the middle is neither documented nor checked at the start.",
    instead="a documented field of billing.settings.Settings, or a plugin's own settings model.",
    bad="url = os.environ['BILLING_DATABASE_URL']\n",
    good="url = settings.database_url\n",
    allowed={"billing/settings.py": "the one reader", "billing/testing/*": "the tests' own switch is no setting of a clinic"},
)
def environment(source: Source) -> Iterator[int]:
    for node in source.nodes:
        match node:
            case ast.Attribute(value=ast.Name(id="os"), attr="environ" | "environb" | "getenv", lineno=line):
                yield line
            case ast.ImportFrom(module="os", names=names, lineno=line):
                if {"environ", "environb", "getenv"} & {name.name for name in names}:
                    yield line


@house_rule(
    f"no function beyond {MAX_FUNCTION_LINES} lines",
    reason="What does not fit on a page does more than one thing.",
    instead="split it where the blank lines are.",
    bad="def long():\n" + "    step()\n" * MAX_FUNCTION_LINES,
    good="def short():\n" + "    step()\n" * (MAX_FUNCTION_LINES - 1),
    allowed=VERSIONS,
)
def long_functions(source: Source) -> Iterator[int]:
    for node in source.nodes:
        match node:
            case ast.FunctionDef(lineno=first, end_lineno=int(end)) | ast.AsyncFunctionDef(lineno=first, end_lineno=int(end)):
                if end - first + 1 > MAX_FUNCTION_LINES:
                    yield first


@house_rule(
    f"no file beyond {MAX_FILE_LINES} lines",
    reason="A newcomer should find the way by names of files, not by searching in one.",
    instead="split by noun (model, services) or by verb.",
    bad="step()\n" * (MAX_FILE_LINES + 1),
    good="step()\n" * MAX_FILE_LINES,
    allowed=VERSIONS,
)
def long_files(source: Source) -> Iterator[int]:
    if source.text.count("\n") > MAX_FILE_LINES:
        yield MAX_FILE_LINES + 1


@house_rule(
    "core names no department",
    reason="Departments are plugins; what core knows of one, the next one can't have.",
    instead="say `department`, and let the plugin declare what is special about it.",
    bad="if item.department == 'pharmacy':\n    ...\n",
    good="if item.department in declared:\n    ...\n",
    suffixes=(".py", ".html", ".css", ".js", ".sql", ".txt", ".json", ".toml", ".csv", ".md"),
    core_only=True,
)
def departments(source: Source) -> Iterator[int]:
    for number, line in enumerate(source.text.splitlines(), start=1):
        if re.search(r"pharmac|laborator", line, re.IGNORECASE):
            yield number


@house_rule(
    "no path of one machine",
    reason="Another clinic's machine has other folders.",
    instead="platformdirs, tempfile, importlib.resources, or a setting.",
    bad="folder = Path('/var/lib/billing')\n",
    good="folder = Path(user_data_dir('billing'))\nroute = '/invoices/new'\n",
    allowed={
        "billing/testing/postgres.py": "where Debian keeps its server, and where Linux keeps files in memory",
        "billing/testing/standby.py": "the shell that looks after both servers",
    },
)
def absolute_paths(source: Source) -> Iterator[int]:
    places = re.compile(r"/(bin|dev|etc|home|mnt|opt|root|srv|tmp|usr|var|work|Users)(/|$)|[A-Z]:\\")
    for node in source.nodes:
        match node:
            case ast.Constant(value=str(text), lineno=line) if places.match(text):
                yield line


def product() -> Iterator[Path]:
    for folder in (ROOT / "billing", *ROOT.glob("plugins/*/billing_*")):
        yield from (path.relative_to(ROOT) for path in sorted(folder.rglob("*")) if path.is_file())


@cache
def read(path: Path) -> Source:
    return Source(path, (ROOT / path).read_text(encoding="utf-8"))


every_rule = pytest.mark.parametrize("rule", [pytest.param(rule, id=rule.name) for rule in RULES])
every_exception = pytest.mark.parametrize(
    ("rule", "pattern"),
    [pytest.param(rule, pattern, id=f"{rule.name}: {pattern}") for rule in RULES for pattern in rule.allowed],
)


@every_rule
def test_product_keeps_the_rule(rule: Rule) -> None:
    files = [path for path in product() if rule.covers(path) and not rule.allows(path)]

    findings = [finding for path in files for finding in rule.findings(read(path))]

    assert len(files) > 10
    assert not findings, "\n".join(findings)


@every_rule
def test_bad_example_is_found_and_explained(rule: Rule) -> None:
    findings = rule.findings(Source(Path("billing/services/example.py"), rule.bad))

    assert len(findings) == 1
    assert findings[0].startswith("billing/services/example.py:")
    assert findings[0].endswith(f"{rule.name}. {rule.reason} Instead: {rule.instead}")


@every_rule
def test_good_example_passes(rule: Rule) -> None:
    assert rule.findings(Source(Path("billing/services/example.py"), rule.good)) == []


@every_exception
def test_exception_is_still_needed(rule: Rule, pattern: str) -> None:
    files = [path for path in product() if rule.covers(path) and fnmatchcase(path.as_posix(), pattern)]

    assert any(rule.findings(read(path)) for path in files), f"delete this exception: nothing in {pattern} needs it any more"
