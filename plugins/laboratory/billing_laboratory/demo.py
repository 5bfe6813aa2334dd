"""What the laboratory brings to the demonstration: tests of people and animals, normal, abnormal and still to be done. Pure."""

from collections.abc import Iterator

from billing.plugin import QuotingClinic, Record

_LIMITS = ("LOW", "HIGH", "CRITICAL_LOW", "CRITICAL_HIGH")
_COLUMNS = ("VISIT", "CODE", "DESCRIPTION", "VALUE", "UNITS", "BASE_COST", "SPECIMEN", "SPECIES", *_LIMITS)

# Visits 1, 2 and 5 are people, 3 is a dog, 4 a cat, 6 a horse. A row without a value is ordered and paid, and waits on the worklist.
_NUMBERS = (
    ("1", "718-7", "Hemoglobin [Mass/volume] in Blood", "14.2", "g/dL", "6.50", "blood", "", "12.0", "17.5", "7.0", "20.0"),
    ("1", "6690-2", "Leukocytes [#/volume] in Blood", "7.1", "10*3/uL", "6.50", "blood", "", "4.0", "11.0", "1.5", "30.0"),
    ("1", "4548-4", "Hemoglobin A1c/Hemoglobin.total in Blood", "", "%", "14.00", "blood", "", "4.0", "5.6", "", ""),
    ("2", "1988-5", "C reactive protein [Mass/volume] in Serum or Plasma", "48.3", "mg/L", "9.80", "serum", "", "", "5.0", "", ""),
    ("3", "2160-0", "Creatinine [Mass/volume] in Serum or Plasma", "1.1", "mg/dL", "7.20", "serum", "dog", "0.5", "1.8", "", "8.0"),
    ("3", "1742-6", "Alanine aminotransferase in Serum or Plasma", "61", "U/L", "7.20", "serum", "dog", "10", "125", "", ""),
    ("3", "2345-7", "Glucose [Mass/volume] in Serum or Plasma", "", "mg/dL", "5.40", "plasma", "dog", "74", "143", "40", "400"),
    ("4", "2160-0", "Creatinine [Mass/volume] in Serum or Plasma", "3.9", "mg/dL", "7.20", "serum", "cat", "0.8", "2.4", "", "8.0"),
    ("4", "2823-3", "Potassium [Moles/volume] in Serum or Plasma", "2.4", "mmol/L", "5.40", "serum", "cat", "3.5", "5.8", "2.5", "7.5"),
    ("5", "1988-5", "C reactive protein [Mass/volume] in Serum or Plasma", "4.1", "mg/L", "9.80", "serum", "", "", "5.0", "", ""),
    ("6", "4544-3", "Hematocrit [Volume Fraction] of Blood", "38.4", "%", "6.50", "blood", "horse", "32", "53", "18", "65"),
    ("6", "3255-7", "Fibrinogen [Mass/volume] in Plasma", "", "mg/dL", "11.60", "citrate plasma", "horse", "100", "400", "", ""),
)
_FINDINGS = (
    {
        "VISIT": "2",
        "CODE": "94500-6",
        "DESCRIPTION": "SARS-CoV-2 RNA [Presence] in Respiratory specimen by NAA with probe detection",
        "VALUE": "Not detected",
        "UNITS": "",
        "BASE_COST": "32.00",
        "SPECIMEN": "nasal swab",
        "NORMAL": "Not detected",
        "TYPE": "text",
    },
)


def records(clinic: QuotingClinic) -> Iterator[Record]:
    """Return the observations of today's visits."""
    for values in _NUMBERS:
        yield Record(kind="observation", row={**dict(zip(_COLUMNS, values, strict=True)), "TYPE": "numeric"}, at=clinic.at)
    for row in _FINDINGS:
        yield Record(kind="observation", row=row, at=clinic.at)
