"""The detectors work: a copy of the repository with a planted bug fails the tests that name it, and passes them without.

A few bugs a day, another few every day; `BILLING_FAULTS=full` plants all of them. `-k "floor"` plants one by its name.
"""

import os
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.planted.bugs import BUGS, Bug

ROOT = Path(__file__).parents[2]
COPIED = ("billing", "plugins", "tests", "docs", "conftest.py", "pyproject.toml")
DAILY = 3

# Loaded by the inner run: the copy's packages must be those that are tested, not those that are installed.
GUARD = """
import pathlib

def pytest_configure(config):
    import billing, billing_consultation, billing_laboratory, billing_pharmacy
    for package in (billing, billing_consultation, billing_laboratory, billing_pharmacy):
        assert pathlib.Path(package.__file__).is_relative_to(pathlib.Path.cwd()), package.__file__
"""


def _chosen(metafunc: pytest.Metafunc) -> list[Bug]:
    everything = os.environ.get("BILLING_FAULTS") == "full" or metafunc.config.option.keyword
    seed = metafunc.config.getoption("randomly_seed", default=0)
    return list(BUGS) if everything else random.Random(seed).sample(BUGS, DAILY)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "bug" in metafunc.fixturenames:
        metafunc.parametrize("bug", _chosen(metafunc), ids=str)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Copy what the tests need to a folder of its own."""
    target = tmp_path / "copy"
    target.mkdir()
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, target / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        else:
            shutil.copyfile(ROOT / name, target / name)
    (target / "planted_guard.py").write_text(GUARD)
    return target


def test_planted_bug_is_noticed(bug: Bug, copy: Path) -> None:
    clean = _run(copy, bug.tests)

    assert clean.returncode == 0, clean.stdout

    _plant(bug, copy)
    planted = _run(copy, bug.tests)

    assert planted.returncode == 1, planted.stdout
    assert re.search(r"\b\d+ failed(, \d+ passed)? in ", planted.stdout.splitlines()[-1]), planted.stdout
    assert all(f"FAILED {test}" in planted.stdout for test in bug.tests), planted.stdout


def test_every_bug_stands_where_it_is_planted() -> None:
    """A bug whose text is gone would never be planted again: said at once, not when its turn comes."""
    gone = [str(bug) for bug in BUGS if (ROOT / bug.file).read_text().count(bug.old) != 1]

    assert gone == []
    assert len({bug.name for bug in BUGS}) == len(BUGS) >= 20


def _plant(bug: Bug, copy: Path) -> None:
    file = copy / bug.file
    text = file.read_text()
    assert text.count(bug.old) == 1, f"{bug.file} has no longer exactly one {bug.old!r}"
    file.write_text(text.replace(bug.old, bug.new))


def _run(copy: Path, tests: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    paths = [copy, *sorted((copy / "plugins").iterdir())]
    foreign = ("PYTEST_", "COV", "BILLING_FAULTS")  # the inner run is small, however far the outer one goes
    environment = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    environment |= {"PYTHONPATH": os.pathsep.join(map(str, paths)), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "planted_guard", "-p", "no:cacheprovider", "-p", "no:randomly", *tests]
    return subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, check=False, timeout=600)
