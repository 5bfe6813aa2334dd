"""The commands of the core: where each is found, and its line in `billing --help`. It imports none of them."""

from dataclasses import dataclass

HERE = "billing.interfaces.cli"


@dataclass(frozen=True, slots=True)
class Entry:
    """A command that is imported when it is called. `target` is `module:attribute`."""

    section: str
    target: str
    help: str
    hidden: bool = False


SET_UP, DAILY, AFTER, KEEP = "Set up", "Every day", "After the payment", "Look after"
FROM_PLUGINS = "From plugins"


def _entry(section: str, target: str, help_line: str, *, hidden: bool = False) -> Entry:
    return Entry(section, f"{HERE}.{target}", help_line, hidden)


COMMANDS: dict[str, Entry] = {
    "init": _entry(SET_UP, "database:init", "Make the database and the local operator."),
    "clinic": _entry(SET_UP, "clinic:clinic", "Clinics, their policy and the order of their departments."),
    "staff": _entry(SET_UP, "staff:staff", "Staff, their roles, and providers."),
    "price": _entry(SET_UP, "price:price", "The price list and its history."),
    "series": _entry(SET_UP, "series:series", "The numbers of invoices and receipts."),
    "plugins": _entry(SET_UP, "plugins:plugins", "The plugins: list, enable, disable, settings."),
    "client": _entry(DAILY, "client:client", "Those who pay."),
    "patient": _entry(DAILY, "patient:patient", "Those who are cared for."),
    "consultation": _entry(DAILY, "consultation:consultation", "Visits: plan, open, close, cancel."),
    "invoice": _entry(DAILY, "invoice:invoice", "Invoices: create, preview, edit, issue, cancel, print."),
    "pay": _entry(DAILY, "pay:pay", "Take a payment."),
    "pay-all": _entry(DAILY, "pay_all:pay_all", "Take one payment over several invoices of a client."),
    "discount": _entry(DAILY, "discount:discount", "Discounts on drafts, and discount codes."),
    "wallet": _entry(DAILY, "wallet:wallet", "What clients leave with the clinic: top up, pay out, statement."),
    "shift": _entry(DAILY, "shift:shift", "The own drawer: open, move cash, count and close, report."),
    "receipt": _entry(DAILY, "receipt:receipt", "Payments that were taken, and their receipts."),
    "approve": _entry(AFTER, "approve:approve", "Consent that somebody else gives money back, writes off or discounts."),
    "approvals": _entry(AFTER, "approve:list_", "Approvals that were given, and who has used them."),
    "void": _entry(AFTER, "reverse:void", "Undo a payment in its open shift."),
    "refund": _entry(AFTER, "reverse:refund", "Refund items, an invoice, or money on account."),
    "return": _entry(AFTER, "reverse:return_", "Take goods back over the counter."),
    "write-off": _entry(AFTER, "reverse:write_off", "Give up what is still due."),
    "account": _entry(AFTER, "account:account", "The chart of accounts: list, set."),
    "balances": _entry(AFTER, "account:balances", "The trial balance of some days."),
    "report": _entry(AFTER, "report:report", "Takings, tax, voids, discounts, shifts, receivables, statements, gaps."),
    "remind": _entry(AFTER, "remind:remind", "Remind of overdue invoices, each level once."),
    "period": _entry(AFTER, "period:period", "Months that are closed: close, list."),
    "payer": _entry(AFTER, "payer:payer", "Insurers and companies that pay for clients."),
    "coverage": _entry(AFTER, "payer:coverage", "What payers cover of whose bills."),
    "cover": _entry(AFTER, "payer:cover", "Put a payer on an invoice."),
    "claim": _entry(AFTER, "payer:claim", "Claims on payers: list, submit, pay, reject."),
    "audit": _entry(KEEP, "audit:audit", "The audit trail: list, verify."),
    "events": _entry(KEEP, "events:events", "What other systems are to be told."),
    "doctor": _entry(KEEP, "doctor:doctor", "Check the books against all invariants."),
    "db": _entry(KEEP, "database:db", "The database's migrations: status, upgrade, distribute."),
    "backup": _entry(KEEP, "backup:backup", "Write the whole database to a file."),
    "restore": _entry(KEEP, "backup:restore", "Read a backup into an empty database."),
    "export": _entry(KEEP, "export:export", "Lists as CSV files; the journal for accounting programs."),
    "import": _entry(KEEP, "importing:importing", "Records of another system."),
    "totals": _entry(KEEP, "totals:totals", "Compute the totals of documents in a file."),
    "demo": _entry(KEEP, "demo:demo", "Build a small clinic and run a day through its till."),
    "completion": _entry(KEEP, "completion:completion", "Print the completion script of a shell."),
    "dev": _entry(KEEP, "dev:dev", "For those who work on this software.", hidden=True),
}
