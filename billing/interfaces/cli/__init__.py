"""The command line `billing`: parse, run one unit, render. It knows the services' verbs and no table."""

from billing.interfaces.cli.frame import Frame


def main() -> None:
    """Run the command line of this process."""
    Frame().main()
