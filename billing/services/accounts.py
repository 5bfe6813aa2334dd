"""The chart of accounts: numbers and names that a clinic gives to the journal's accounts. Lines keep the key, so a new name changes no history."""

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import select

from billing import registry
from billing.errors import Conflict, Invalid, NotFound, Refused
from billing.model import Account, Clinic
from billing.rules import plain_text, posting
from billing.services import ledger
from billing.services.inputs import check_line
from billing.transaction import Transaction


class UnknownAccount(NotFound):
    """The clinic has no account of this key. Facts: `account`."""

    code = "unknown_account"


class BadAccountName(Invalid):
    """Plain-text accounting can't read this name. Facts: `name`."""

    code = "bad_account_name"


class AccountNameTaken(Conflict):
    """Another account has the name: their balances would mix in what is exported. Facts: `account`."""

    code = "account_name_taken"


class AccountUnchanged(Refused):
    """The account is so already, or nothing was said to change. Facts: `account`."""

    code = "account_unchanged"


@dataclass(frozen=True, slots=True)
class AccountView:
    """An account: its key in the journal, its number and name, and whether these are the clinic's own."""

    account: str
    code: str
    name: str
    own: bool


def list_accounts(tx: Transaction) -> list[AccountView]:
    """Return the chart by number and name: what every clinic has, what its methods and departments need, and what was ever booked on."""
    tx.require("journal.read")
    return chart(tx, ledger.balances_before(tx, ledger.LAST_DAY))


def set_account(tx: Transaction, *, account: str, code: str | None = None, name: str | None = None) -> AccountView:
    """Give an account a number or a name of the clinic's own.

    Raises `UnknownAccount`, `BadText`, `BadAccountName`, `AccountNameTaken`, `AccountUnchanged`.
    """
    tx.require("accounts.manage")
    # Two people at the chart: the clinic's row makes the second one wait, and then see what the first one has named.
    tx.session.scalars(select(Clinic.clinic_id).with_for_update(key_share=True)).one()
    known = {each.account: each for each in chart(tx, ledger.balances_before(tx, ledger.LAST_DAY))}
    before = known.get(account)
    if before is None:
        raise UnknownAccount(f"There is no account {account[:60]!r}: `billing account list` shows the keys.", account=account)
    number = before.code if code is None else check_line(code, "The number", longest=20)
    named = before.name if name is None else name
    if not plain_text.is_name(named):
        raise BadAccountName(
            f"{named[:60]!r} can't be an account's name: write it like Assets:Bank:Giro, beginning with {', '.join(plain_text.ROOTS)}.",
            name=named,
        )
    if (number, named) == (before.code, before.name):
        raise AccountUnchanged(f"The account {account} is so already: nothing was changed.", account=account)
    same = next((each for each in known.values() if each.name == named and each.account != account), None)
    if same is not None:
        raise AccountNameTaken(
            f"The account {same.account} has this name: choose another, or their balances would mix.", account=same.account
        )
    row = tx.session.scalars(select(Account).where(Account.account == account)).one_or_none()
    if row is None:
        tx.session.add(Account(account=account, code=number, name=named))
    else:
        row.code, row.name = number, named
    tx.audit("account.changed", "account", account, code=number, name=named, was={"code": before.code, "name": before.name})
    return AccountView(account, number, named, own=True)


def chart(tx: Transaction, booked: Iterable[str]) -> list[AccountView]:
    """Return these accounts and all that every clinic, its methods and departments need, by number and name.

    A part of lists, reports and exports, which have asked.
    """
    own = {row.account: row for row in tx.session.scalars(select(Account))}
    needed = {*booked, *own, *plain_text.STANDING}
    needed |= {posting.account_of(each) for each in registry.of(tx).methods(tx.clinic).values()}
    needed |= {f"{group}:{department.code}" for department in tx.clinic.departments for group in ("revenue", "discount")}
    names = plain_text.names_of(needed, {account: row.name for account, row in own.items()})
    found = [
        AccountView(account, own[account].code if account in own else plain_text.default_of(account)[0], name, own=account in own)
        for account, name in names.items()
    ]
    return sorted(found, key=lambda each: (each.code, each.name))
