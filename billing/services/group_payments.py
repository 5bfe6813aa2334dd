"""One payment over several invoices of a client: a receipt each, taken one by one in one unit, all of them or none."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import bindparam, select

from billing import registry
from billing.errors import Refused
from billing.model import CLINIC, Client, Invoice, canonical_json
from billing.model.lists import ids
from billing.model.types import IdType
from billing.rules.groups import distribute
from billing.rules.settlement import Scope
from billing.rules.statuses import amount_due
from billing.rules.tenders import Tender
from billing.services.inputs import canonical_id
from billing.services.keys import Key
from billing.services.open_invoice import UnknownInvoice
from billing.services.patients import UnknownClient
from billing.services.payable import ChooseInvoice
from billing.services.payments import PaymentTaken, take_payment
from billing.transaction import Transaction
from billing.trips import Query, Row

MOST_INVOICES = 50


class TooManyInvoices(Refused):
    """More invoices than one payment may be over. Facts: `invoices`, `most`."""

    code = "too_many_invoices"


class OtherClient(Refused):
    """The invoices are not all of one client. Facts: `invoice`."""

    code = "other_client"


@dataclass(frozen=True, slots=True)
class GroupPart:
    """What one invoice got, with its receipt; minor units, as of this payment."""

    payment_id: str
    invoice_id: str
    scope: str
    applied_minor: int
    rounding_minor: int
    amount_due_minor: int
    status: str
    receipt_number: str = ""


@dataclass(frozen=True, slots=True)
class GroupTaken:
    """A payment over several invoices. `group_id` is its first payment; the change is given once."""

    group_id: str
    currency: str
    tendered_minor: int
    change_minor: int
    applied_minor: int
    parts: tuple[GroupPart, ...]
    replayed: bool = False


_columns = (
    Invoice.id,
    Invoice.client_id,
    Invoice.total_minor,
    Invoice.amount_paid_minor,
    Invoice.written_off_minor,
    Invoice.credited_minor,
    Invoice.payer_minor,
    Invoice.due_date,
    Invoice.created_at,
)
_NAMED = Query(
    select(*_columns)
    .where(Invoice.clinic_id == CLINIC, Invoice.id.op("IN")(ids("invoices")))
    .order_by(Invoice.id)
    .with_for_update(of=Invoice)
)
_OF_CLIENT = Query(
    select(*_columns)
    .where(
        Invoice.clinic_id == CLINIC,
        Invoice.client_id == bindparam("client_id", type_=IdType()),
        Invoice.status.in_(["sent", "partial"]),
    )
    .order_by(Invoice.id)
    .with_for_update(of=Invoice)
)
"""Locked in the order of their ids, so that two such payments never wait for each other crosswise."""

_CLIENT = Query(select(Client.id).where(Client.clinic_id == CLINIC, Client.id == bindparam("client_id", type_=IdType())))


def pay_invoices(
    tx: Transaction,
    *,
    tenders: Sequence[Tender],
    client_id: str | None = None,
    invoice_ids: Sequence[str] = (),
    series: str | None = None,
    key: str | None = None,
) -> GroupTaken:
    """Pay several invoices at once: those named, in that order, or all open ones of a client, the oldest due first.

    Each is paid whole as long as the money lasts, and the first that it does not cover gets the rest on account. Every one has a receipt of
    its own. Raises `OtherClient`, `TooManyInvoices`, `ChooseInvoice`, `Underpaid`, and what `take_payment` raises.
    """
    tx.require("payments.take")
    named = list(dict.fromkeys(_invoice_id(each) for each in invoice_ids))
    client = None if client_id is None else canonical_id(client_id)
    if client_id is not None and client is None:
        raise _unknown_client(client_id)
    _check_number(len(named))
    request = {"client": client, "invoices": named, "tenders": [asdict(each) for each in tenders], "series": series}
    asked = Key(key, "payment.take_several", request)
    claims = asked.claim(tx)
    call = (_NAMED, {"invoices": canonical_json(named)}) if named else (_OF_CLIENT, {"client_id": client})
    *claimed, rows = tx.trip(*claims, call)
    if claims and (before := asked.answer_before(tx, claimed[0])) is not None:
        return _replayed(before)
    if client is not None and not named and not rows and tx.row(_CLIENT, client_id=client) is None:
        raise _unknown_client(client)
    wanted = _wanted(rows, named, client)
    shares = distribute([_due(row) for row in wanted], tenders, methods=registry.of(tx).methods(tx.clinic), currency=tx.clinic.currency)
    taken: list[PaymentTaken] = []
    for share in shares:
        on_account = share.on_account_minor is not None
        taken.append(
            take_payment(
                tx,
                invoice_id=wanted[share.invoice].id,
                scope=Scope.on_account() if on_account else Scope.all(),
                tenders=share.tenders,
                series=series,
                group_id=taken[0].id if taken else None,
            )
        )
    tx.flush()  # the receipts' numbers are known from here on
    done = GroupTaken(
        group_id=taken[0].id,
        currency=tx.clinic.currency.code,
        tendered_minor=sum(each.tendered_minor for each in taken),
        change_minor=sum(each.change_minor for each in taken),
        applied_minor=sum(each.applied_minor for each in taken),
        parts=tuple(
            GroupPart(
                each.id,
                each.invoice_id,
                each.scope,
                each.applied_minor,
                each.rounding_minor,
                each.amount_due_minor,
                each.status,
                each.receipt_number,
            )
            for each in taken
        ),
    )
    asked.keep(tx, _answer(done))
    return done


def _invoice_id(text: str) -> str:
    known = canonical_id(text)
    if known is None:
        raise _unknown(text)
    return known


def _unknown_client(text: str) -> UnknownClient:
    return UnknownClient(f"There is no client {text[:60]!r} in this clinic.", client=text)


def _unknown(text: str) -> UnknownInvoice:
    return UnknownInvoice(f"There is no invoice {text[:60]!r} in this clinic: `billing invoice list` shows what there is.", invoice=text)


def _check_number(invoices: int) -> None:
    if invoices > MOST_INVOICES:
        raise TooManyInvoices(
            f"{invoices} invoices are more than one payment may be over: name at most {MOST_INVOICES} of them.",
            invoices=invoices,
            most=MOST_INVOICES,
        )


def _wanted(rows: Sequence[Row], named: Sequence[str], client_id: str | None) -> list[Row]:
    """Return the invoices in the order in which they are paid."""
    if not named:
        found = sorted((row for row in rows if _due(row) > 0), key=lambda row: (row.due_date, row.created_at, row.id))
        _check_number(len(found))
        if not found:
            raise ChooseInvoice("This client has no open invoice: name those that are paid.", invoices=[])
        return found
    by_id = {row.id: row for row in rows}
    if missing := [each for each in named if each not in by_id]:
        raise _unknown(missing[0])
    of = client_id or by_id[named[0]].client_id
    if other := [each for each in named if by_id[each].client_id != of]:
        raise OtherClient("One payment is over the invoices of one client: this one is somebody else's.", invoice=other[0])
    return [by_id[each] for each in named]


def _due(row: Row) -> int:
    return amount_due(row.total_minor, row.amount_paid_minor, row.written_off_minor, row.credited_minor, row.payer_minor)


def _answer(done: GroupTaken) -> dict[str, Any]:
    answer = asdict(done) | {"id": done.group_id}  # as of every payment: the row that it is about
    del answer["replayed"]
    return answer


def _replayed(answer: dict[str, Any]) -> GroupTaken:
    parts = tuple(GroupPart(**part) for part in answer["parts"])
    said = {name: value for name, value in answer.items() if name not in {"id", "parts"}}
    return GroupTaken(**said, parts=parts, replayed=True)
