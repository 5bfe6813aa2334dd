"""`billing backup` and `billing restore`: the whole database in one file and back, whichever database it is."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from billing.interfaces.cli.console import Console

if TYPE_CHECKING:
    from billing.services.backup_file import Manifest


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--force", is_flag=True, help="Replace a file of that name.")
@click.pass_obj
def backup(console: Console, file: Path, force: bool) -> None:
    """Write the whole database, all clinics, to FILE, which only its owner can read. Others go on working meanwhile."""
    from billing.services import backup as services

    database = console.database
    with console.progress("Writing rows") as advance:
        made = services.back_up(database, actor=console.actor, target=file, force=force, progress=lambda _, count: advance(count))
    console.show(_fields(file, made))


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.pass_obj
def restore(console: Console, file: Path) -> None:
    """Bring the backup FILE into an empty database, whose tables are made first: all of it, or nothing."""
    from billing.services import backup as services
    from billing.services.installation import application_role

    with console.progress("Reading rows") as advance:
        restored = services.restore(
            console.settings.owner_url,
            source=file,
            plugins=console.registry,
            settings=console.settings,
            grant_to=application_role(console.settings),
            progress=lambda _, count: advance(count),
        )
    console.show(_fields(file, restored))


def _fields(file: Path, manifest: "Manifest") -> dict[str, Any]:
    return {"file": str(file), "made_at": manifest.made_at, "tables": len(manifest.tables), "rows": manifest.rows}
