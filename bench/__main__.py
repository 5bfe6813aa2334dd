"""`python -m bench`: measure all topics, or one, and write the tables into docs/performance.md. Knows no topic from within."""

from importlib import import_module

import click

from bench import report

TOPICS = ("payments", "sqlite", "imports")
QUICK_ROUNDS = 5


@click.command()
@click.option("--only", type=click.Choice(TOPICS), help="Measure this topic alone.")
@click.option("--rounds", type=click.IntRange(1), default=QUICK_ROUNDS, show_default=True, help="How many interleaved rounds.")
@click.option("--dry", is_flag=True, help="Show the tables, and leave docs/performance.md as it is.")
def main(only: str | None, rounds: int, dry: bool) -> None:
    """Measure, show and write down."""
    for topic in [only] if only else TOPICS:
        section = import_module(f"bench.{topic}").measure(rounds)
        click.echo(f"{section}\n")
        if not dry:
            report.write(section)


if __name__ == "__main__":
    main()
