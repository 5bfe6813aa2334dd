"""What the laboratory wants to know before it decides, as selects over its own tables. They choose rows; the rules judge them."""

from typing import Any

from sqlalchemy import Select, TableClause, cast, exists, select

from billing.plugin import CLINIC, Need, billing, importing, paying, refunding, types
from billing_laboratory.model import Analyte, LabOrder, LabResult, LabTest, PanelMember, ReferenceRange
from billing_laboratory.rules import DEPARTMENT, RANGE_COLUMNS


def _panels(source: TableClause) -> Select[*tuple[Any, ...]]:
    return (
        select(
            LabTest.service_id,
            LabTest.id.label("test_id"),
            LabTest.active,
            PanelMember.position,
            Analyte.id.label("analyte_id"),
            Analyte.loinc,
            Analyte.unit,
            Analyte.value_kind,
        )
        .join(PanelMember, (PanelMember.clinic_id == LabTest.clinic_id) & (PanelMember.test_id == LabTest.id))
        .join(Analyte, (Analyte.clinic_id == PanelMember.clinic_id) & (Analyte.id == PanelMember.analyte_id))
        .where(LabTest.service_id.in_(select(source.c.service_id)))
        .order_by(LabTest.id, PanelMember.position)
    )


def _ranges(source: TableClause) -> Select[*tuple[Any, ...]]:
    return (
        select(ReferenceRange.analyte_id, *(getattr(ReferenceRange, name) for name in RANGE_COLUMNS))
        .join(PanelMember, (PanelMember.clinic_id == ReferenceRange.clinic_id) & (PanelMember.analyte_id == ReferenceRange.analyte_id))
        .join(LabTest, (LabTest.clinic_id == PanelMember.clinic_id) & (LabTest.id == PanelMember.test_id))
        .where(LabTest.service_id.in_(select(source.c.service_id)), ReferenceRange.active)
        .order_by(ReferenceRange.analyte_id, ReferenceRange.position)
    )


BILLED_PANELS = Need(_panels(billing), of="billing")
"""The tests of the items of an invoice, one row for each analyte."""

PANELS = Need(_panels(paying))
"""The tests of the unpaid items, one row for each analyte."""

RANGES = Need(_ranges(paying))
"""The reference ranges of their analytes: imported results are judged as they are written."""

IMPORTED_PANELS = Need(_panels(importing), of="importing")
"""The tests that imported services have already, one row for each analyte."""

IMPORTED_RANGES = Need(_ranges(importing), of="importing")
"""The reference ranges that their analytes have already."""

_HAS_TEST = exists(select(LabTest.id).where(LabTest.clinic_id == CLINIC, LabTest.service_id == importing.c.service_id))

ANALYTES = Need(
    select(Analyte.id, Analyte.loinc).where(
        exists(select(importing.c.service_id).where(importing.c.department == DEPARTMENT, ~_HAS_TEST)),
    ),
    of="importing",
)
"""All analytes of the clinic if a service without a test is imported, else none: a new test may measure what is known already."""

_ORDERED = select(cast(refunding.c.row_id, types.IdType)).where(refunding.c.kind == "lab.ordered")

ORDERS = Need(select(LabOrder.id, LabOrder.item_id, LabOrder.status).where(LabOrder.id.in_(_ORDERED)), lock=LabOrder, of="refunding")
"""The orders of the items that are given back, locked. Locked before the results, as everybody does who changes results."""

RESULTS = Need(
    select(LabResult.id, LabResult.order_id, LabResult.status).where(LabResult.order_id.in_(_ORDERED)), lock=LabResult, of="refunding"
)
"""The results of these orders, locked."""

NEEDS = (BILLED_PANELS, PANELS, RANGES, IMPORTED_PANELS, IMPORTED_RANGES, ANALYTES, ORDERS, RESULTS)
