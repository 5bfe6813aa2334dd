"""All public cases, P01 to P74: which tests show a case, and what is still to come for the others.

A case is a real bug of another billing program. A test says which one it shows by `@pytest.mark.case("P01")`, and its docstring tells the
public thread. Run as a program it prints the table.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent

ALL = tuple(f"P{number:02}" for number in range(1, 75))

LATER = {
    "P07": "needs payments that can be voided",
    "P25": "needs refunds",
    "P26": "needs refunds",
    "P27": "needs refunds",
    "P28": "needs payments that can be voided",
    "P29": "needs payments that can be voided",
    "P42": "needs payments that can be voided, of which the laboratory hears",
    "P46": "needs refunds, shifts and periods that can be closed",
    "P48": "needs routes that hand out documents",
    "P50": "needs a role of its own for the application, and policies that are forced on it",
    "P54": "needs the cashier's page",
    "P55": "needs webhooks",
    "P56": "needs routes, which answer with when to ask again",
    "P67": "needs exports that are neutral to spreadsheets and can be imported again",
    "P69": "needs pages and mails, and their content security policy",
    "P70": "needs sign-in and routes: secrets that a log could show",
}
"""Cases that no test shows yet, and what they wait for."""

REST = {
    "P01": "the answers' HTTP status",
    "P02": "the refused transfer in a list of money that is to be returned",
    "P03": "the cashier's page, whose form is sent twice",
    "P14": "credit notes as the second series",
    "P17": "the PDF",
    "P24": "the PDF",
    "P31": "the page and the PDF",
    "P45": "routes and pages among the entry points",
    "P47": "routes among the entry points",
    "P49": "routes among the entry points",
    "P51": "corrections by credit note",
    "P52": "the answers' HTTP status, and two routes with one key",
    "P53": "the answers' HTTP status",
    "P65": "the PDF",
    "P66": "routes and the PDF",
    "P72": "users who sign in",
}
"""What of a case that tests show is still to come with what it needs."""


def shown(folder: Path = HERE) -> dict[str, list[tuple[str, str]]]:
    """Return for each case the tests that show it, as they are named to pytest, each with its docstring."""
    found: dict[str, list[tuple[str, str]]] = {}
    for path in sorted(folder.glob("test_*.py")):
        for function in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(function, ast.FunctionDef) and function.name.startswith("test_"):
                for case in _cases(function):
                    found.setdefault(case, []).append((f"{path.name}::{function.name}", ast.get_docstring(function) or ""))
    return found


def _cases(function: ast.FunctionDef) -> Iterator[str]:
    for decorator in function.decorator_list:
        match decorator:
            case ast.Call(func=ast.Attribute(attr="case"), args=[ast.Constant(value=str(case))]):
                yield case


if __name__ == "__main__":
    tests = shown()
    for number in ALL:
        names = [name for name, _ in tests.get(number, [])]
        still = LATER.get(number) or REST.get(number)
        print(number, *names, *([f"- later: {still}"] if still else []), sep="\n    ")  # noqa: T201 - that is what it is run for
