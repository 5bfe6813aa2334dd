import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import Any

import pytest
from sqlalchemy import func, select, update
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.single_file import SingleFileSnapshotExtension, WriteMode

from billing import clock
from billing.model import AuditEntry, Client, Department, DocumentPrint, Membership, Patient, Staff
from billing.plugin import Declaration, hookimpl
from billing.plugin import Department as Declared
from billing.rules.totals import TaxGroup
from billing.services import clinics, documents, invoice_steps, invoices, patients, payments, staff
from billing.services.documents import BadForm, Document
from billing.services.documents.text import width
from billing.services.open_invoice import UnknownInvoice
from billing.services.quotation import NewAdjustment, NewItem
from billing.services.reading import UnknownPayment
from billing.testing.world import World
from billing.transaction import PermissionMissing, Transaction

AT = datetime(2026, 11, 22, 23, 30, tzinfo=UTC)
"""Already the 23rd in Berlin, and in Tokyo."""

STANDARD, REDUCED, EXEMPT = TaxGroup("S", 1900), TaxGroup("S", 700), TaxGroup("E", 0)
E4 = 10_000

EXAM = NewItem(description="Examination", department="visits", unit_price_e4=6000 * E4, tax=STANDARD)
TABLETS = NewItem(
    description="Tablets 250 mg",
    department="shop",
    quantity_milli=2500,
    unit_price_e4=1234 * E4 + 5000,
    tax=REDUCED,
    allowances=((300, "regular client"),),
    charges=((120, "at night"),),
)
PASSPORT = NewItem(description="Passport", department="shop", unit_price_e4=0, tax=EXEMPT)
LOYALTY = NewAdjustment(charge=False, amount_minor=500, reason="loyalty", tax=STANDARD)

HOSTILE_TEXTS = (
    "<script>alert(1)</script> & {{7*7}} {% raw %}",
    "</bdi></title></style></html>",
    "\N{RIGHT-TO-LEFT OVERRIDE}gnp.exe \N{ARABIC LETTER ALEF}\N{RIGHT-TO-LEFT ISOLATE}",
    "\N{GRINNING FACE} \N{WOMAN}\N{ZERO WIDTH JOINER}\N{ROCKET} ネコ",
    "W" * 180,
)


class ApprovedText(SingleFileSnapshotExtension):
    file_extension = "txt"
    _write_mode = WriteMode.TEXT


class ApprovedPage(ApprovedText):
    file_extension = "html"


class House:
    """Two departments that need nothing."""

    @staticmethod
    @hookimpl
    def declare() -> Declaration:
        return Declaration(departments=(Declared("visits", "Visits", effects=False), Declared("shop", "Little shop", effects=False)))


class Till:
    """A clinic with a dog and its owner; what is printed comes from here."""

    def __init__(self, url: str, **options: Any) -> None:
        options = {"currency": "EUR", "address": "1 Mill Lane\nSpringfield", "tax_number": "DE 123", "language": "en", **options}
        self.world = World(url, plugins={"house": House()}, **options)
        self.client = self.run(lambda tx: patients.add_client(tx, name="Ada Owner", address="2 Garden Row\nSpringfield")).id
        self.dog = self.patient("Rex", species="dog", breed="Beagle")
        self.vet = self.run(lambda tx: staff.add_provider(tx, name="Dr. Grace Vet")).id

    def run(self, unit: Callable[[Transaction], Any], **options: Any) -> Any:
        return self.world.run(unit, **options)

    def patient(self, name: str, *, species: str, breed: str | None = None) -> str:
        made: str = self.run(
            lambda tx: patients.add_patient(tx, name=name, kind="animal", client_id=self.client, species=species, breed=breed)
        ).id
        return made

    def draft(self, *items: NewItem, adjustments: tuple[NewAdjustment, ...] = ()) -> str:
        made = self.run(
            lambda tx: invoices.create_invoice(
                tx, patient_id=self.dog, provider_id=self.vet, items=items or (EXAM, TABLETS, PASSPORT), adjustments=adjustments
            )
        )
        return str(made.id)

    def issued(self, *items: NewItem, adjustments: tuple[NewAdjustment, ...] = ()) -> str:
        invoice_id = self.draft(*items, adjustments=adjustments)
        self.run(lambda tx: invoice_steps.issue_invoice(tx, invoice_id=invoice_id))
        return invoice_id

    def pay(self, invoice_id: str, *tenders: str, **options: Any) -> payments.PaymentTaken:
        return self.world.pay(invoice_id, *tenders, **options)

    def invoice(self, invoice_id: str, form: Any = "text", **options: Any) -> Document:
        printed: Document = self.run(lambda tx: documents.print_invoice(tx, invoice_id=invoice_id, form=form), **options)
        return printed

    def receipt(self, payment: payments.PaymentTaken | str, form: Any = "text", **options: Any) -> Document:
        payment_id = payment if isinstance(payment, str) else payment.id
        printed: Document = self.run(lambda tx: documents.print_receipt(tx, payment_id=payment_id, form=form), **options)
        return printed


@pytest.fixture(autouse=True)
def fixed_time() -> Iterator[None]:
    with clock.fixed(AT):
        yield


@pytest.fixture
def tills(sqlite_url: str) -> Iterator[Callable[..., Till]]:
    """Make a clinic with these options, for what does not depend on the database."""
    made: list[Till] = []

    def make(**options: Any) -> Till:
        made.append(Till(sqlite_url, **options))
        return made[-1]

    yield make
    for each in made:
        each.world.dispose()


@pytest.fixture
def till(database_url: str) -> Iterator[Till]:
    made = Till(database_url)
    yield made
    made.world.dispose()


@pytest.fixture
def text(snapshot: SnapshotAssertion) -> SnapshotAssertion:
    return snapshot.use_extension(ApprovedText)


@pytest.fixture
def page(snapshot: SnapshotAssertion) -> SnapshotAssertion:
    return snapshot.use_extension(ApprovedPage)


class _Markup(HTMLParser):
    """Reads a page: its tags, all of them closed, and its text."""

    VOID = frozenset({"meta"})

    def __init__(self, content: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(content)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def without_mark(content: str, mark: str) -> str:
    kept = [line for line in content.splitlines(keepends=True) if mark not in line]
    assert len(content.splitlines()) - len(kept) == 1
    return "".join(kept)


# --- what stands on them ------------------------------------------------------------------------------------------------------------


def test_invoice_as_text(tills: Callable[..., Till], text: SnapshotAssertion) -> None:
    till = tills()
    invoice_id = till.issued(EXAM, TABLETS, PASSPORT, adjustments=(LOYALTY,))

    printed = till.invoice(invoice_id)

    assert (printed.media_type, printed.file_name, printed.copy) == ("text/plain", "invoice-INV-2026-00001.txt", 0)
    assert printed.content == text


def test_invoice_as_a_page(tills: Callable[..., Till], page: SnapshotAssertion) -> None:
    till = tills(language="de")
    invoice_id = till.issued(EXAM, TABLETS, PASSPORT, adjustments=(LOYALTY,))

    printed = till.invoice(invoice_id, "a4")

    assert (printed.media_type, printed.file_name, printed.copy) == ("text/html", "invoice-INV-2026-00001.html", 0)
    assert printed.content == page
    assert not {"script", "img", "link", "a"} & set(_Markup(printed.content).tags)


def test_invoice_of_prices_that_include_tax(tills: Callable[..., Till], text: SnapshotAssertion) -> None:
    till = tills(language="fr", prices_include_tax=True)

    printed = till.invoice(till.issued(EXAM, TABLETS, adjustments=(LOYALTY,)))

    assert printed.content == text


def test_receipt_of_all_as_text(tills: Callable[..., Till], text: SnapshotAssertion) -> None:
    till = tills(currency="CHF", language="de_CH")
    invoice_id = till.issued()
    till.pay(invoice_id, "transfer 10.00 RF18-5390", scope="ON_ACCOUNT")

    printed = till.receipt(till.pay(invoice_id, "card 20.00 4711", "cash 100.00"))

    assert (printed.media_type, printed.file_name, printed.copy) == ("text/plain", "receipt-R-2026-00002.txt", 0)
    assert printed.content == text


def test_receipt_of_a_roll(tills: Callable[..., Till], page: SnapshotAssertion) -> None:
    till = tills()

    printed = till.receipt(till.pay(till.draft(), "cash 200.00", scope="shop"), "80mm")

    assert printed.content == page
    assert "size: 80mm" in printed.content
    _Markup(printed.content)


def test_receipt_on_account(tills: Callable[..., Till], text: SnapshotAssertion) -> None:
    till = tills(language="es")

    printed = till.receipt(till.pay(till.issued(), "transfer 10.00 RF18-5390", scope="ON_ACCOUNT"))

    assert printed.content == text


def test_receipt_of_nothing_to_pay(tills: Callable[..., Till]) -> None:
    till = tills()

    printed = till.receipt(till.pay(till.issued(PASSPORT)))

    assert "Passport                            0.00\n" in printed.content
    assert "PAID                                 €0.00\n" in printed.content


def test_receipt_shows_the_time_of_the_clinic(tills: Callable[..., Till]) -> None:
    till = tills(time_zone="Asia/Tokyo", language="de")

    printed = till.receipt(till.pay(till.issued(), "card 102.49"))

    assert "Zeit: 23.11.2026 08:30\n" in printed.content


@pytest.mark.parametrize(
    ("currency", "language", "exam", "total"),
    [
        ("JPY", "en", "6,000", "¥7,140"),
        ("EUR", "de", "60,00", "71,40 €"),
        ("IQD", "en", "6.000", "IQD 7.140"),
        ("KWD", "fr", "6,000", "7,140 KWD"),
        ("CHF", "de_CH", "60.00", "CHF 71.40"),
        ("ILS", "he", "60.00", "71.40 ₪"),
    ],
)
def test_amounts_have_the_digits_of_their_currency(tills: Callable[..., Till], currency: str, language: str, exam: str, total: str) -> None:
    till = tills(currency=currency, language=language)

    lines = till.invoice(till.issued(EXAM)).content.splitlines()

    assert any(line.startswith("     1 ×") and line.endswith(f" {exam}") for line in lines)
    assert any(line.startswith(("TOTAL", "GESAMTBETRAG")) and line.endswith(f" {total}") for line in lines)


def test_language_without_a_translation_has_english_words(tills: Callable[..., Till]) -> None:
    till = tills(language="pt")

    printed = till.invoice(till.issued(EXAM), "a4")

    assert '<html lang="en" dir="ltr">' in printed.content
    assert "23 de nov. de 2026" in printed.content


# --- drafts, originals and copies ---------------------------------------------------------------------------------------------------


def test_draft_is_marked_and_has_no_copies(till: Till) -> None:
    invoice_id = till.draft()

    first, second = till.invoice(invoice_id), till.invoice(invoice_id)
    till.run(lambda tx: invoice_steps.issue_invoice(tx, invoice_id=invoice_id))
    issued = till.invoice(invoice_id)

    assert "*** DRAFT ***\n" in first.content
    assert first == second
    assert (first.file_name, first.copy) == ("draft-INV-2026-00001.txt", 0)
    assert "DRAFT" not in issued.content
    assert issued.copy == 0


def test_draft_without_a_number_is_named_by_its_id(tills: Callable[..., Till]) -> None:
    till = tills(policy={"numbers_at": "issue"})
    invoice_id = till.draft()

    printed = till.invoice(invoice_id)

    assert printed.file_name == f"draft-{invoice_id}.txt"
    assert "\nINVOICE\n" in printed.content


def test_draft_shows_what_stands_there_now(till: Till) -> None:
    invoice_id = till.draft()

    till.run(lambda tx: patients.update_client(tx, client_id=till.client, changes={"name": "Ada Renamed"}))

    assert "Client: Ada Renamed\n" in till.invoice(invoice_id).content


def test_draft_is_read_anew_in_the_unit_that_changed_it(till: Till) -> None:
    invoice_id = till.draft()

    def unit(tx: Transaction) -> tuple[Document, Document]:
        before = documents.print_invoice(tx, invoice_id=invoice_id, form="text")
        invoices.edit_invoice(tx, invoice_id=invoice_id, items=[PASSPORT])
        return before, documents.print_invoice(tx, invoice_id=invoice_id, form="text")

    before, after = till.run(unit)

    assert "Examination" in before.content
    assert "Examination" not in after.content


def test_cancelled_invoice_says_so(till: Till) -> None:
    invoice_id = till.issued()
    till.invoice(invoice_id)

    till.run(lambda tx: invoice_steps.cancel_invoice(tx, invoice_id=invoice_id, reason="entered twice"))

    assert "*** COPY 1 ***\n*** CANCELLED: entered twice ***\n" in till.invoice(invoice_id).content


def test_every_print_of_any_form_after_the_first_is_a_copy(till: Till) -> None:
    invoice_id = till.issued()
    payment = till.pay(invoice_id, "card 102.49")

    invoices_printed = [till.invoice(invoice_id, form) for form in ("a4", "text", "a4")]
    receipts_printed = [till.receipt(payment, form) for form in ("80mm", "a4", "text")]

    assert [each.copy for each in invoices_printed] == [each.copy for each in receipts_printed] == [0, 1, 2]
    assert invoices_printed[2].file_name == "invoice-INV-2026-00001-copy-2.html"
    assert '<p class="mark">COPY 2</p>' in invoices_printed[2].content
    assert "*** COPY 2 ***\n" in receipts_printed[2].content


def test_prints_are_counted_and_audited(till: Till) -> None:
    invoice_id = till.issued()

    for _ in range(2):
        till.invoice(invoice_id)

    def unit(tx: Transaction) -> tuple[int | None, list[Any]]:
        entries = tx.session.scalars(select(AuditEntry).where(AuditEntry.action == "document.printed").order_by(AuditEntry.position))
        return tx.session.scalar(select(func.count(DocumentPrint.id))), [(each.subject, each.subject_id, each.data) for each in entries]

    count, entries = till.world.read(unit)
    assert count == 2
    assert entries == [("invoice", invoice_id, {"form": "text", "copy": 0}), ("invoice", invoice_id, {"form": "text", "copy": 1})]


def test_two_printers_do_not_both_make_the_original(
    world: World, beside: Callable[[Callable[[Transaction], Any], Callable[[Transaction], Any]], Future[Any]]
) -> None:
    world.service("VISIT")
    payment = world.pay(world.invoice("VISIT").id, "card 10.00")

    second = beside(
        lambda tx: documents.print_receipt(tx, payment_id=payment.id), lambda tx: documents.print_receipt(tx, payment_id=payment.id)
    )

    assert second.result().copy == 1


@pytest.mark.parametrize("form", ["a4", "text"])
def test_reprint_of_an_invoice_differs_by_its_mark_only(till: Till, form: str) -> None:
    invoice_id = till.issued(EXAM, TABLETS, PASSPORT, adjustments=(LOYALTY,))
    original = till.invoice(invoice_id, form)
    till.pay(invoice_id, "card 10.00", scope="ON_ACCOUNT")

    change_everything(till)
    copy = till.invoice(invoice_id, form)

    assert without_mark(copy.content, "COPY 1") == original.content


@pytest.mark.parametrize("form", ["80mm", "a4", "text"])
def test_reprint_of_a_receipt_differs_by_its_mark_only(till: Till, form: str) -> None:
    invoice_id = till.issued()
    till.pay(invoice_id, "card 5.00", scope="ON_ACCOUNT")
    payment = till.pay(invoice_id, "cash 50.00", scope="shop")
    original = till.receipt(payment, form)

    till.pay(invoice_id, "card 5.00", scope="ON_ACCOUNT")
    change_everything(till)
    with clock.fixed(AT + timedelta(days=400)):
        till.pay(invoice_id, "card 10.00", scope="ON_ACCOUNT")
        copy = till.receipt(payment, form)

    assert without_mark(copy.content, "COPY 1") == original.content


def change_everything(till: Till) -> None:
    def unit(tx: Transaction) -> None:
        clinics.update_clinic(
            tx,
            changes={
                "name": "Other",
                "address": "Elsewhere",
                "tax_number": "XX",
                "language": "fr",
                "time_zone": "Asia/Tokyo",
                "prices_include_tax": True,
            },
        )
        clinics.order_departments(tx, codes=["shop", "visits"])
        for table in (Client, Patient, Membership, Staff, Department):
            tx.session.execute(update(table).values(name="Other"))

    till.run(unit)


# --- as of a payment ----------------------------------------------------------------------------------------------------------------


def test_receipts_of_an_invoice_count_down(till: Till) -> None:
    invoice_id = till.issued()  # 102.49: visits 71.40, shop 31.09

    taken = [
        till.pay(invoice_id, "card 20.00", scope="ON_ACCOUNT"),
        till.pay(invoice_id, "cash 40.00", scope="shop"),
        till.pay(invoice_id, "card 51.40"),
    ]

    tails = [[line.split() for line in till.receipt(each).content.splitlines()[-4:-2]] for each in taken]
    assert tails[0] == [["Money", "on", "account", "20.00"], ["Still", "due", "82.49"]]
    assert tails[1] == [["Money", "on", "account", "20.00"], ["Still", "due", "51.40"]]
    assert tails[2][1] == ["Still", "due", "0.00"]


def test_payment_recorded_later_for_an_earlier_day_leaves_receipts_as_they_were(till: Till) -> None:
    invoice_id = till.issued()
    payment = till.pay(invoice_id, "card 20.00", scope="ON_ACCOUNT")
    original = till.receipt(payment)

    till.pay(invoice_id, "card 10.00", scope="ON_ACCOUNT", at=AT - timedelta(days=30))

    assert without_mark(till.receipt(payment).content, "COPY 1") == original.content


def test_receipt_of_each_department_adds_up(till: Till) -> None:
    taken = till.pay(till.issued(EXAM, TABLETS, PASSPORT, adjustments=(LOYALTY,)), "card 96.54")

    lines = till.receipt(taken).content.splitlines()

    of_departments = [line.split() for line in lines if line.startswith(("Visits", "Little shop"))]
    assert of_departments == [["Visits", "65.45"], ["Little", "shop", "31.09"]]
    assert "Items                                96.54" in lines


# --- hostile texts ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hostile", HOSTILE_TEXTS)
def test_hostile_text_stays_text(tills: Callable[..., Till], hostile: str) -> None:
    till = tills()
    named = {"name": hostile, "address": f"{hostile}\n{hostile}", "tax_number": hostile[:60]}
    till.run(lambda tx: clinics.update_clinic(tx, changes=named))
    till.run(lambda tx: patients.update_client(tx, client_id=till.client, changes={"name": hostile, "address": hostile}))
    till.dog = till.patient(hostile, species=hostile[:50])
    invoice_id = till.issued(replace(EXAM, description=hostile, allowances=((100, hostile),)))
    payment = till.pay(invoice_id, "card 70.21")

    for page in (till.invoice(invoice_id, "a4"), till.receipt(payment, "80mm"), till.receipt(payment, "a4")):
        markup = _Markup(page.content)
        assert hostile in markup.text
        assert not {"script", "img"} & set(markup.tags)
        assert markup.tags.count("title") == markup.tags.count("style") == 1
    for printed, columns in ((till.invoice(invoice_id), 78), (till.receipt(payment), 42)):
        assert not set(printed.content) & set("\N{RIGHT-TO-LEFT OVERRIDE}\N{RIGHT-TO-LEFT ISOLATE}")
        assert max(width(line) for line in printed.content.splitlines()) <= columns


# --- who may print what -------------------------------------------------------------------------------------------------------------


def test_clinician_prints_invoices_but_no_receipts(till: Till) -> None:
    till.run(lambda tx: staff.add_staff(tx, login="vet", name="Vera", role="clinician"))
    invoice_id = till.issued()
    payment = till.pay(invoice_id, "card 102.49")

    assert till.invoice(invoice_id, actor="vet").copy == 0
    with pytest.raises(PermissionMissing, match=r"receipts\.print"):
        till.receipt(payment, actor="vet")


def test_who_may_not_read_documents_prints_no_invoice(till: Till) -> None:
    till.run(lambda tx: staff.add_staff(tx, login="none", name="Nina", role="cashier"))
    invoice_id = till.issued()

    def unit(tx: Transaction) -> Document:
        tx.actor = replace(tx.actor, permissions=tx.actor.permissions - {"documents.read"})
        return documents.print_invoice(tx, invoice_id=invoice_id)

    with pytest.raises(PermissionMissing, match=r"documents\.read"):
        till.run(unit, actor="none")


@pytest.mark.parametrize("document_id", ["", "nobody", "01890000-0000-7000-8000-000000000000", "x" * 100_000])
def test_unknown_document_is_not_found(till: Till, document_id: str) -> None:
    with pytest.raises(UnknownInvoice):
        till.invoice(document_id)
    with pytest.raises(UnknownPayment):
        till.receipt(document_id)


def test_document_of_another_clinic_is_not_found(till: Till) -> None:
    invoice_id = till.issued()
    payment = till.pay(invoice_id, "card 102.49")
    till.world.found("south")

    with pytest.raises(UnknownInvoice):
        till.invoice(invoice_id, clinic="south")
    with pytest.raises(UnknownPayment):
        till.receipt(payment, clinic="south")


def test_unknown_form_is_refused_and_no_print_counted(till: Till) -> None:
    invoice_id = till.issued()

    with pytest.raises(BadForm, match="a4, text"):
        till.invoice(invoice_id, "80mm")

    assert till.invoice(invoice_id).copy == 0


def test_importing_the_service_does_not_load_the_printing_libraries() -> None:
    program = "import sys, billing.services.documents; print({'babel', 'jinja2'} & set(sys.modules))"

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout == "set()\n"
