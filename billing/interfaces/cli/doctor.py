"""`billing doctor`: the installation and the clinics' books against everything that must hold."""

from typing import TYPE_CHECKING, Any

import click

from billing.errors import NotFound
from billing.interfaces.cli.console import Console

if TYPE_CHECKING:
    from billing.services.doctor import Check, Report

UNHEALTHY_EXIT_CODE = 1


@click.command()
@click.option("--fast", is_flag=True, help="Leave out what is recomputed: audit chain, totals, hashes.")
@click.option("--only", multiple=True, metavar="NAME", help="Only this check, or all checks of this plugin.")
@click.pass_context
def doctor(context: click.Context, fast: bool, only: tuple[str, ...]) -> None:
    """Check the installation, and the books of the named clinic or of all that you see. It mends nothing. The exit code is 1 if something is wrong."""
    from billing.services import doctor as services

    console: Console = context.obj
    installation = services.examine_installation(console.open_database(), plugins=console.registry)
    reports = {"installation": installation}
    if not any(check.name == "migrations_current" for check in installation.broken):
        for code in _clinics(console):
            reports[code] = console.database.read(
                lambda tx: services.examine(tx, fast=fast, only=only or None), actor=console.actor, clinic=code
            )
    for warning in installation.warnings:
        console.warn(warning)
    healthy = all(report.healthy for report in reports.values())
    if console.wants_json:
        clinics = [_fields(report) for name, report in reports.items() if name != "installation"]
        console.show({"healthy": healthy, "installation": _fields(installation), "clinics": clinics})
    else:
        for name, report in reports.items():
            _tell(console, name, report)
    if not healthy:
        context.exit(UNHEALTHY_EXIT_CODE)


def _clinics(console: Console) -> list[str]:
    from billing.services.clinics import list_clinics

    if console.names_clinic:
        return [console.clinic]
    try:
        return [each.code for each in console.read_outside(list_clinics)]
    except NotFound:  # nobody is there yet: `billing db upgrade` made the tables, `billing init` has not run
        return []


def _tell(console: Console, name: str, report: "Report") -> None:
    broken = report.broken
    verdict = "well" if not broken else f"{len(broken)} of them not well"
    console.say(f"{name}: {len(report.checks)} checks, {verdict}")
    for check in broken:
        whose = f" ({check.plugin})" if check.plugin else ""
        console.say(f"  {check.name}{whose}: {check.error or f'{check.count} found'}. {check.sentence}")
        for violation in check.violations:
            console.say("    " + ", ".join(f"{column}={value}" for column, value in violation.items()))


def _fields(report: "Report") -> dict[str, Any]:
    checks = [_check(each) for each in report.checks]
    return {**report.facts, "healthy": report.healthy, "warnings": list(report.warnings), "checks": checks}


def _check(check: "Check") -> dict[str, Any]:
    return {
        "name": check.name,
        "plugin": check.plugin,
        "sentence": check.sentence,
        "passed": check.passed,
        "count": check.count,
        "error": check.error,
        "violations": [dict(each) for each in check.violations],
    }
