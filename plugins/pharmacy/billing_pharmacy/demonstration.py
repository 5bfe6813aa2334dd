"""What the pharmacy brings to the demonstration clinic, as data: medicines for people and animals, and what lies on the shelf of each.

It knows no dates: a batch says in how many days from today it expires.
"""

from collections.abc import Mapping

_Stock = tuple[tuple[str, int, str], ...]
"""Batches: lot, days from today to the expiry, quantity."""

# Visit 3 takes from two batches, the one that expires first to its end; of what visit 4 wants only an expired batch is there.
RECORDS: tuple[tuple[str, str, Mapping[str, str], _Stock], ...] = (
    (
        "1",
        "medication",
        {"CODE": "AMOX500", "DESCRIPTION": "Amoxicillin 500 mg capsule", "BASE_COST": "0.45", "DISPENSES": "20"},
        (("AX-1107", 240, "200"),),
    ),
    (
        "1",
        "immunization",
        {"CODE": "140", "DESCRIPTION": "Influenza vaccine, seasonal", "BASE_COST": "24.50"},
        (("FLU-26A", 90, "30"),),
    ),
    (
        "2",
        "medication",
        {"CODE": "IBU400", "DESCRIPTION": "Ibuprofen 400 mg tablet", "BASE_COST": "0.18", "DISPENSES": "30"},
        (("IB-4410", 400, "500"),),
    ),
    (
        "3",
        "medication",
        {"CODE": "CARP50", "DESCRIPTION": "Carprofen 50 mg tablet for dogs", "BASE_COST": "0.95", "DISPENSES": "20"},
        (("CP-0917", 21, "12"), ("CP-1203", 410, "100")),
    ),
    (
        "3",
        "immunization",
        {"CODE": "VET-RABIES", "DESCRIPTION": "Rabies vaccine for dogs and cats", "BASE_COST": "18.00"},
        (("RB-552", 180, "25"),),
    ),
    (
        "4",
        "medication",
        {"CODE": "MELOX", "DESCRIPTION": "Meloxicam oral suspension for cats 15 ml", "BASE_COST": "16.80", "DISPENSES": "1"},
        (("MX-0331", -9, "6"),),
    ),
    (
        "5",
        "medication",
        {"CODE": "AMOX500", "DESCRIPTION": "Amoxicillin 500 mg capsule", "BASE_COST": "0.45", "DISPENSES": "10"},
        (("AX-1107", 240, "200"),),
    ),
    (
        "6",
        "medication",
        {"CODE": "PBZ", "DESCRIPTION": "Phenylbutazone paste for horses 1 g/ml", "BASE_COST": "12.40", "DISPENSES": "2.5"},
        (("PB-78", 300, "40"),),
    ),
)
