"""The words on documents, by language. Knows nothing of what stands beside them."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Labels:
    """Every word that a document may need; a language has all of them. `methods`, `categories` and `units` are by code."""

    language: str
    invoice: str
    receipt: str
    credit_note: str
    draft: str
    cancelled: str
    voided: str
    copy: str
    issue_date: str
    due_date: str
    time: str
    cashier: str
    client: str
    patient: str
    provider: str
    tax_number: str
    position: str
    description: str
    quantity: str
    unit: str
    unit_price: str
    tax: str
    amount: str
    discount: str
    charge: str
    items_total: str
    net: str
    total: str
    tax_included: str
    taxable: str
    tax_amount: str
    prices_include_tax: str
    amounts_in: str
    from_account: str
    to_account: str
    paid: str
    due: str
    rounding: str
    received: str
    change: str
    on_account: str
    still_due: str
    reason: str
    credited: str
    payers_part: str
    given_back: str
    methods: Mapping[str, str]
    categories: Mapping[str, str]
    units: Mapping[str, str]


ENGLISH = Labels(
    language="en",
    invoice="Invoice",
    receipt="Receipt",
    credit_note="Credit note",
    draft="DRAFT",
    cancelled="CANCELLED",
    voided="VOID",
    copy="COPY",
    issue_date="Date",
    due_date="Due date",
    time="Time",
    cashier="Cashier",
    client="Client",
    patient="Patient",
    provider="Provider",
    tax_number="Tax number",
    position="No.",
    description="Description",
    quantity="Quantity",
    unit="Unit",
    unit_price="Unit price",
    tax="Tax",
    amount="Amount",
    discount="Discount",
    charge="Charge",
    items_total="Items",
    net="Net total",
    total="Total",
    tax_included="Tax included",
    taxable="Taxable amount",
    tax_amount="Tax amount",
    prices_include_tax="Prices include tax.",
    amounts_in="All amounts in",
    from_account="From money on account",
    to_account="Put on account",
    paid="Paid",
    due="Due",
    rounding="Cash rounding",
    received="Received",
    change="Change",
    on_account="Money on account",
    still_due="Still due",
    reason="Reason",
    credited="Credited",
    payers_part="Payer's part",
    given_back="Given back",
    methods={"cash": "Cash", "card": "Card", "transfer": "Transfer", "wallet": "Wallet"},
    categories={
        "Z": "zero rate",
        "E": "exempt",
        "AE": "reverse charge",
        "O": "not taxable",
        "K": "intra-EU supply",
        "G": "export",
        "L": "IGIC",
        "M": "IPSI",
    },
    units={"each": "each"},
)

GERMAN = Labels(
    language="de",
    invoice="Rechnung",
    receipt="Quittung",
    credit_note="Gutschrift",
    draft="ENTWURF",
    cancelled="STORNIERT",
    voided="STORNIERT",
    copy="KOPIE",
    issue_date="Datum",
    due_date="Zahlbar bis",
    time="Zeit",
    cashier="Kassiert von",
    client="Kunde",
    patient="Patient",
    provider="Behandelt von",
    tax_number="Steuernummer",
    position="Pos.",
    description="Beschreibung",
    quantity="Menge",
    unit="Einheit",
    unit_price="Einzelpreis",
    tax="Steuer",
    amount="Betrag",
    discount="Nachlass",
    charge="Zuschlag",
    items_total="Positionen",
    net="Nettobetrag",
    total="Gesamtbetrag",
    tax_included="Darin enthaltene Steuer",
    taxable="Nettobetrag",
    tax_amount="Steuerbetrag",
    prices_include_tax="Die Preise enthalten die Steuer.",
    amounts_in="Alle Beträge in",
    from_account="Aus Anzahlungen",
    to_account="Als Anzahlung verbucht",
    paid="Bezahlt",
    due="Fällig",
    rounding="Barrundung",
    received="Erhalten",
    change="Rückgeld",
    on_account="Angezahlt",
    still_due="Noch offen",
    reason="Grund",
    credited="Gutgeschrieben",
    payers_part="Anteil des Kostenträgers",
    given_back="Zurückgegeben",
    methods={"cash": "Bar", "card": "Karte", "transfer": "Überweisung", "wallet": "Guthaben"},
    categories={
        "Z": "Nullsatz",
        "E": "steuerbefreit",
        "AE": "Steuerschuld des Empfängers",
        "O": "nicht steuerbar",
        "K": "innergemeinschaftliche Lieferung",
        "G": "Ausfuhr",
        "L": "IGIC",
        "M": "IPSI",
    },
    units={"each": "Stück"},
)

FRENCH = Labels(
    language="fr",
    invoice="Facture",
    receipt="Reçu",
    credit_note="Avoir",
    draft="BROUILLON",
    cancelled="ANNULÉE",
    voided="ANNULÉ",
    copy="COPIE",
    issue_date="Date",
    due_date="Échéance",
    time="Heure",
    cashier="Encaissé par",
    client="Client",
    patient="Patient",
    provider="Praticien",
    tax_number="Numéro fiscal",
    position="N°",
    description="Désignation",
    quantity="Quantité",
    unit="Unité",
    unit_price="Prix unitaire",
    tax="Taxe",
    amount="Montant",
    discount="Remise",
    charge="Supplément",
    items_total="Prestations",
    net="Total net",
    total="Total",
    tax_included="Dont taxe",
    taxable="Base imposable",
    tax_amount="Montant de la taxe",
    prices_include_tax="Les prix comprennent la taxe.",
    amounts_in="Tous les montants en",
    from_account="Pris sur les acomptes",
    to_account="Versé en acompte",
    paid="Payé",
    due="À payer",
    rounding="Arrondi espèces",
    received="Remis",
    change="Monnaie rendue",
    on_account="Acompte disponible",
    still_due="Reste à payer",
    reason="Motif",
    credited="Crédité",
    payers_part="Part du payeur",
    given_back="Rendu",
    methods={"cash": "Espèces", "card": "Carte", "transfer": "Virement", "wallet": "Avoir"},
    categories={
        "Z": "taux zéro",
        "E": "exonéré",
        "AE": "autoliquidation",
        "O": "hors champ de la taxe",
        "K": "livraison intra-UE",
        "G": "exportation",
        "L": "IGIC",
        "M": "IPSI",
    },
    units={"each": "pièce"},
)

SPANISH = Labels(
    language="es",
    invoice="Factura",
    receipt="Recibo",
    credit_note="Nota de crédito",
    draft="BORRADOR",
    cancelled="ANULADA",
    voided="ANULADO",
    copy="COPIA",
    issue_date="Fecha",
    due_date="Vencimiento",
    time="Hora",
    cashier="Cobrado por",
    client="Cliente",
    patient="Paciente",
    provider="Profesional",
    tax_number="Número fiscal",
    position="N.º",
    description="Descripción",
    quantity="Cantidad",
    unit="Unidad",
    unit_price="Precio unitario",
    tax="Impuesto",
    amount="Importe",
    discount="Descuento",
    charge="Recargo",
    items_total="Conceptos",
    net="Total neto",
    total="Total",
    tax_included="Impuesto incluido",
    taxable="Base imponible",
    tax_amount="Cuota",
    prices_include_tax="Los precios incluyen impuestos.",
    amounts_in="Todos los importes en",
    from_account="De pagos a cuenta",
    to_account="Abonado a cuenta",
    paid="Pagado",
    due="A pagar",
    rounding="Redondeo de efectivo",
    received="Entregado",
    change="Cambio",
    on_account="Saldo a cuenta",
    still_due="Pendiente",
    reason="Motivo",
    credited="Abonado",
    payers_part="Parte del pagador",
    given_back="Devuelto",
    methods={"cash": "Efectivo", "card": "Tarjeta", "transfer": "Transferencia", "wallet": "Saldo"},
    categories={
        "Z": "tipo cero",
        "E": "exento",
        "AE": "inversión del sujeto pasivo",
        "O": "no sujeto",
        "K": "entrega intracomunitaria",
        "G": "exportación",
        "L": "IGIC",
        "M": "IPSI",
    },
    units={"each": "unidad"},
)

_BY_LANGUAGE = {labels.language: labels for labels in (ENGLISH, GERMAN, FRENCH, SPANISH)}


def labels_for(language: str) -> Labels:
    """Return the words of a language tag (`de_CH` reads German); English where there is no translation."""
    return _BY_LANGUAGE.get(language.partition("_")[0], ENGLISH)
