"""A till as a program of its own, for faults below the database: python payer.py URL ACKNOWLEDGED INVOICE... Every answer is one line in the file."""

import os
import sys
from pathlib import Path

from billing.errors import BillingError
from billing.services.installation import open_database
from billing.settings import Settings
from billing.testing.crew import shelf_and_desk
from billing.testing.race import Pay


def main(url: str, acknowledged: Path, invoices: list[str]) -> None:
    """Pay one invoice after another; say of each whether it was taken."""
    database = open_database(url, plugins=shelf_and_desk(), settings=Settings())
    with acknowledged.open("ab", buffering=0) as answers:
        for invoice in invoices:
            try:
                taken = database.run(Pay(invoice, ("cash 10",), key=f"key {invoice}"), clinic="north", actor="operator")
            except BillingError as error:
                answers.write(f"refused {error.code}\n".encode())
            else:
                answers.write(f"paid {taken.id}\n".encode())
    os._exit(0)  # as a till that is switched off: nothing is tidied up


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])
