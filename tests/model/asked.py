"""What may be asked of the clinic of the model and of the real one: the words that both are spoken to in."""

from dataclasses import dataclass
from zoneinfo import ZoneInfo

ZONE = ZoneInfo("Europe/Zurich")
PAYMENT_DAYS = 14
SHARE_BP = 3750
FOLLOW_UP_DAYS, FOLLOW_UP_VISITS, FOLLOW_UP_PRICE = 10, 2, 10_000_000
"""What the clinic has agreed with its providers: of what is paid they get a share; a visit that is paid in full is followed by cheap ones."""


@dataclass(frozen=True)
class Service:
    """An entry of the price list. A price is ten-thousandths of a rappen, a tax its category and basis points."""

    code: str
    department: str
    price: int
    tax: tuple[str, int] = ("O", 0)
    visit: bool = False
    analytes: int = 0


CATALOGUE = (
    Service("VISIT", "consultation", 55_000_000, visit=True),
    Service("TALK", "consultation", 12_345_678, ("S", 810)),
    Service("AMX", "pharmacy", 333_333, ("S", 260)),
    Service("VAC", "pharmacy", 20_005_000, ("S", 260)),
    Service("GIFT", "pharmacy", 0),
    Service("GLU", "laboratory", 9_995_555, ("S", 810), analytes=1),
    Service("PANEL", "laboratory", 30_000_000, analytes=3),
)


@dataclass(frozen=True)
class Line:
    """A line as somebody asks for it. Without a price that of the list, or of the department, holds."""

    service: Service
    quantity: int = 1000
    price: int | None = None
    allowance: int = 0
    provider: str | None = None
    source: str | None = None

    @property
    def visits(self) -> int:
        """As many visits as are begun."""
        return -(-self.quantity // 1000)


@dataclass(frozen=True)
class Discount:
    """A discount (below zero) or a charge (above) in rappen on the whole document, on one tax group."""

    amount: int
    tax: tuple[str, int]
