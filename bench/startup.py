"""G12: `billing --help` with 20 plugins installed against an interpreter that does nothing. Opens no database."""

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.report import Section, Table
from bench.rounds import Spread

PLUGINS = 20
PER_ROUND = 5
HEAVY = ("sqlalchemy", "pydantic", "fastapi", "alembic", "jinja2", "rich")
"""What a page of help has no need of."""

COMMANDS: Mapping[str, Sequence[str]] = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "billing --help": [str(Path(sys.executable).with_name("billing")), "--help"],
    "billing pay --help": [str(Path(sys.executable).with_name("billing")), "pay", "--help"],
}
NOTHING = "python -c pass"
LOADED = (
    "import sys, atexit; atexit.register(lambda: print(*sorted(set(sys.modules)), file=sys.stderr)); "
    "sys.argv = ['billing', '--help']; from billing.interfaces.cli import main; main()"
)

STUB = """
from billing.plugin import Declaration, Department, hookimpl


@hookimpl
def declare():
    return Declaration(departments=(Department("{name}", "{name}", effects=False),))
"""


def measure(rounds: int) -> Section:
    """Return the table of G12."""
    with tempfile.TemporaryDirectory() as folder:
        for place in range(PLUGINS):
            install_stub(Path(folder), f"stub{place:02}")
        environment = {**os.environ, "PYTHONPATH": folder, "XDG_CACHE_HOME": folder, "XDG_DATA_HOME": folder}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)  # an installation is compiled once, not at every start
        for command in COMMANDS.values():
            _cpu_ms(command, environment)  # bytecode is written, and what is kept between calls
        spent = [
            {name: statistics.median(_cpu_ms(command, environment) for _ in range(PER_ROUND)) for name, command in COMMANDS.items()}
            for _ in range(rounds)
        ]
        heavy = heavy_modules(environment)
    rows = [
        (name, f"{statistics.median(each[name] for each in spent):.0f}", str(Spread.of([each[name] / each[NOTHING] for each in spent])))
        for name in COMMANDS
    ]
    return Section(
        "startup",
        f"G12: a page of help with {PLUGINS} more plugins installed",
        f"{rounds} interleaved rounds of {PER_ROUND} starts, CPU time of the process. Goal: at most 6 times an interpreter that does nothing. "
        f"Loaded by `billing --help` of {', '.join(HEAVY)}: {', '.join(heavy) or 'none'}.",
        [Table(("command", "CPU-ms", "to nothing"), rows)],
    )


def install_stub(folder: Path, name: str) -> None:
    """Put a distribution with one plugin into a folder of the path."""
    (folder / f"{name}.py").write_text(STUB.format(name=name), encoding="utf-8")
    made = folder / f"{name}-1.0.dist-info"
    made.mkdir()
    (made / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", encoding="utf-8")
    (made / "entry_points.txt").write_text(f"[billing.plugins]\n{name} = {name}\n", encoding="utf-8")


def heavy_modules(environment: Mapping[str, str]) -> list[str]:
    """Return which of the heavy packages a page of help has loaded."""
    done = subprocess.run([sys.executable, "-c", LOADED], env=environment, capture_output=True, text=True, check=True)
    return [name for name in HEAVY if name in done.stderr.split()]


def _cpu_ms(command: Sequence[str], environment: Mapping[str, str]) -> float:
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise RuntimeError(f"{command} ended with {process.returncode}")
    return (usage.ru_utime + usage.ru_stime) * 1000
