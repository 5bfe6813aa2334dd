"""What a refund would do: what is credited, what goes back and how it may, and who objects. Writes nothing and locks nothing."""

from collections.abc import Sequence
from dataclasses import dataclass

from billing.errors import Invalid, Refused
from billing.model import new_id
from billing.rules.reversing import clients_part, money_back
from billing.rules.statuses import Action
from billing.services.keys import Key
from billing.services.payable import Answer
from billing.services.reversals import Returned, taken_items
from billing.services.reversible import Which, read_reversible
from billing.services.undoing import undo
from billing.transaction import Transaction


@dataclass(frozen=True, slots=True)
class RefundPreview:
    """What would be credited and go back, in minor units; `methods` says how much may go back by which; `objections` who refuses and why."""

    invoice_id: str
    credited_minor: int
    refunded_minor: int
    methods: tuple[tuple[str, int], ...]
    objections: tuple[str, ...]


def preview_refund(tx: Transaction, *, invoice_id: str, items: Sequence[Returned] | None = None) -> RefundPreview:
    """Return what a refund of these items (None: of all that is left) would do. Raises as the refund, departments' refusals aside."""
    tx.require("payments.reverse")
    which = Which("payments.refund", invoice_id=invoice_id, item_ids=None if items is None else tuple(each.item_id for each in items))
    seen = read_reversible(tx, which, Key(None, "preview", {}), locking=False)
    assert not isinstance(seen, Answer), "what is read without a key was not answered before"
    seen.opened.check(Action.REFUND)
    left = [row.id for row in seen.opened.items if row.credited_milli < row.quantity_milli]
    taken = taken_items(seen, [Returned(each) for each in left] if items is None else items)
    money = money_back(
        settled_minor=clients_part(each.credit for each in taken if each.settled),
        credited_minor=clients_part(each.credit for each in taken),
        due_minor=seen.opened.amount_due_minor,
        arrears_minor=max(0, -seen.on_account_minor),
    )
    objections: tuple[str, ...] = ()
    try:
        undo(tx, seen, taken, reversal_id=new_id(), kind="refund", reason="")
    except (Refused, Invalid) as refusal:
        objections = (refusal.sentence,)
    methods = tuple((method, amount) for method, amount in seen.came_by_method(tx).items() if amount > 0)
    return RefundPreview(
        invoice_id=seen.opened.id,
        credited_minor=sum(each.credit.total_minor for each in taken),
        refunded_minor=int(seen.opened.row.amount_paid_minor) if items is None else money,
        methods=methods,
        objections=objections,
    )
