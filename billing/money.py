"""Currencies, exact integers for money and their texts, and the one rounding rule; knows nothing of invoices, taxes or databases.

Units: amounts are minor units of their currency (`*_minor`), quantities thousandths (`*_milli`), unit prices
ten-thousandths of a minor unit (`unit_price_e4`), rates basis points (`*_bp`).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from billing.errors import Invalid

MAX_AMOUNT_MINOR = 9 * 10**13  # A sum of 10^5 such amounts still fits into 64 bits.
MAX_QUANTITY_MILLI = 10**12  # A thousand million units.
MAX_UNIT_PRICE_E4 = MAX_AMOUNT_MINOR * 10**4  # The largest amount as a price; fits into 64 bits.
MAX_RATE_BP = 10_000  # 100 %.

UNIT_PRICE_EXTRA_DIGITS = 4
QUANTITY_DIGITS = 3
RATE_DIGITS = 2


class UnknownCurrency(Invalid):
    """The text is no active ISO 4217 code. Facts: `currency_code`."""

    code = "unknown_currency"


class BadAmount(Invalid):
    """The text is no amount of the currency. Facts: `text`."""

    code = "bad_amount"


class AmountOutOfBounds(BadAmount):
    """The amount is beyond MAX_AMOUNT_MINOR on either side of zero. Facts: `amount_minor`."""

    code = "amount_out_of_bounds"


class BadUnitPrice(BadAmount):
    """The text or number is no unit price, or beyond MAX_UNIT_PRICE_E4."""

    code = "bad_unit_price"


class BadQuantity(BadAmount):
    """The text or number is no quantity, or beyond MAX_QUANTITY_MILLI."""

    code = "bad_quantity"


class BadRate(BadAmount):
    """The text is no tax rate from 0 to 100 %."""

    code = "bad_rate"


@dataclass(frozen=True, slots=True)
class Currency:
    """A currency by ISO 4217: `exponent` decimals, and the smallest amount that can be paid in cash, in minor units."""

    code: str
    exponent: int
    cash_step_minor: int = 1


# ISO 4217, active national currencies (funds, metals and test codes left out). CLDR is no source for this: it gives IQD 0 digits.
_DIGITS = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF",
    2: "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CNY COP CRC CUP CVE CZK DKK"
    " DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK"
    " LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR"
    " RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD UYU UZS VED"
    " VES WST XCD XCG YER ZAR ZMW ZWG",
    3: "BHD IQD JOD KWD LYD OMR TND",
}

# Where law or the central bank has withdrawn the smaller coins. The euro's step of 5 is a rule of single countries, so EUR has none here.
_CASH_STEPS_MINOR = {
    "AUD": 5, "BSD": 5, "CAD": 5, "CHF": 5, "CLP": 10, "CZK": 100, "DKK": 50, "FJD": 5, "HKD": 10, "HUF": 500, "ILS": 10,
    "JMD": 100, "MYR": 5, "NOK": 100, "NZD": 10, "SEK": 100, "SGD": 5, "TTD": 5, "ZAR": 10,
}  # fmt: skip

_CURRENCIES = {
    code: Currency(code, exponent, _CASH_STEPS_MINOR.get(code, 1)) for exponent, codes in _DIGITS.items() for code in codes.split()
}


def currency(code: str) -> Currency:
    """Find a currency by its ISO 4217 code in capitals; raises UnknownCurrency."""
    try:
        return _CURRENCIES[code]
    except KeyError:
        sentence = f"{code[:40]!r} is no currency: give an active ISO 4217 code in capitals, such as EUR."
        raise UnknownCurrency(sentence, currency_code=code) from None


def check_amount(minor: int) -> int:
    """Give the amount back, in minor units, if it is within MAX_AMOUNT_MINOR of zero; raises AmountOutOfBounds."""
    if -MAX_AMOUNT_MINOR <= minor <= MAX_AMOUNT_MINOR:
        return minor
    sentence = f"An amount is too large: at most {MAX_AMOUNT_MINOR} of the currency's smallest units can be handled. Check the input."
    raise AmountOutOfBounds(sentence, amount_minor=minor)


def check_quantity(milli: int) -> int:
    """Give the quantity back, in thousandths, if it is within MAX_QUANTITY_MILLI of zero; raises BadQuantity."""
    if -MAX_QUANTITY_MILLI <= milli <= MAX_QUANTITY_MILLI:
        return milli
    sentence = f"A quantity is too large: at most {format_quantity(MAX_QUANTITY_MILLI)} units can be billed on a line."
    raise BadQuantity(sentence, quantity_milli=milli)


def check_unit_price(e4: int) -> int:
    """Give the unit price back, in ten-thousandths of a minor unit, if it is within MAX_UNIT_PRICE_E4 of zero; raises BadUnitPrice."""
    if -MAX_UNIT_PRICE_E4 <= e4 <= MAX_UNIT_PRICE_E4:
        return e4
    sentence = f"A unit price is too large: at most {MAX_AMOUNT_MINOR} of the currency's smallest units can be billed."
    raise BadUnitPrice(sentence, unit_price_e4=e4)


def divide_half_up(numerator: int, denominator: int) -> int:
    """Divide by a positive denominator and round to the nearest whole number, halves away from zero.

    This is the only place that rounds an amount. Away from zero (not towards plus infinity) because a credit of -0.125
    has to mirror the charge of 0.125 that it corrects, as the negative lines of EN 16931 do.
    """
    if denominator <= 0:
        raise ValueError(f"the denominator must be positive, not {denominator}")
    if numerator < 0:
        return -((-2 * numerator + denominator) // (2 * denominator))
    return (2 * numerator + denominator) // (2 * denominator)


def apportion(total: int, numerators: Sequence[int], denominator: int) -> list[int]:
    """Round the exact shares `numerators[i] / denominator` to whole units that sum to `total`, by largest remainder.

    `total` is the sum of the shares rounded in any way, so less than one unit away from it; any other total is a ValueError.
    Shares are cut towards zero; the units still missing go, one each, to the largest cut-off rests (equal rests: first index).
    Every part is less than one unit from its share, and shares of the opposite sign give the same parts with the opposite sign.
    """
    parts: list[int] = []
    rests: list[int] = []
    for numerator in numerators:
        part = numerator // denominator if numerator >= 0 else -(-numerator // denominator)
        parts.append(part)
        rests.append(numerator - part * denominator)
    missing = total - sum(parts)
    if missing == 0:
        return parts
    if abs(missing) > len(parts):
        raise ValueError(f"{len(parts)} shares can't be rounded to sum to {total}")
    step = 1 if missing > 0 else -1
    by_rest = sorted(range(len(rests)), key=lambda index: -step * rests[index])  # The sort is stable: first index first.
    for index in by_rest[: abs(missing)]:
        parts[index] += step
    return parts


def allocate(total: int, weights: Sequence[int]) -> list[int]:
    """Split any total into whole parts in proportion to the weights (none negative), which sum to the total.

    Largest remainder; equal remainders: first index. If all weights are zero the parts are even, first ones larger.
    Raises ValueError for a negative weight, and for a total other than zero without weights.
    """
    if weights and min(weights) < 0:
        raise ValueError("weights must not be negative")
    whole = sum(weights)
    if whole == 0:
        return apportion(total, [total] * len(weights), max(len(weights), 1))
    return apportion(total, [total * weight for weight in weights], whole)


def round_cash(minor: int, currency: Currency) -> int:
    """Round an amount to what can be paid in coins: the nearest multiple of the currency's cash step, halves away from zero."""
    return divide_half_up(minor, currency.cash_step_minor) * currency.cash_step_minor


_DECIMAL = re.compile(r"(-?)([0-9]+)(?:\.([0-9]+))?")  # Written out, because \d would take the digits of every script.
_LONGEST_TEXT = 64


def _parse(text: str, digits: int, *, negative: bool, what: str, error: type[BadAmount]) -> int:
    """Read a plain ASCII decimal of at most `digits` decimals as an integer scaled by 10 ** digits."""
    match = _DECIMAL.fullmatch(text) if len(text) <= _LONGEST_TEXT else None
    fraction = (match[3] or "") if match else ""
    if match is None or len(fraction) > digits:
        example = f"at most {digits} decimals after a point, such as 12.50" if digits else "no decimals, such as 1250"
        raise error(f"{text[:40]!r} is no {what}: write plain digits with {example}.", text=text)
    if match[1] and not negative:
        raise error(f"{text[:40]!r} is no {what}: it can't be negative.", text=text)
    scaled = int(match[2] + fraction.ljust(digits, "0"))
    return -scaled if match[1] else scaled


def parse_amount(text: str, currency: Currency, *, negative: bool = False) -> int:
    """Read "146.76" as minor units of the currency; raises BadAmount (AmountOutOfBounds if it is too large)."""
    return check_amount(_parse(text, currency.exponent, negative=negative, what=f"amount in {currency.code}", error=BadAmount))


def parse_unit_price(text: str, currency: Currency, *, negative: bool = False) -> int:
    """Read "0.0125" as ten-thousandths of a minor unit of the currency; raises BadUnitPrice."""
    digits = currency.exponent + UNIT_PRICE_EXTRA_DIGITS
    return check_unit_price(_parse(text, digits, negative=negative, what=f"unit price in {currency.code}", error=BadUnitPrice))


def parse_quantity(text: str, *, negative: bool = False) -> int:
    """Read "2.5" as thousandths; raises BadQuantity."""
    return check_quantity(_parse(text, QUANTITY_DIGITS, negative=negative, what="quantity", error=BadQuantity))


def parse_rate(text: str) -> int:
    """Read the percent text "19.00" as 1900 basis points; raises BadRate, also above 100 %."""
    rate_bp = _parse(text, RATE_DIGITS, negative=False, what="tax rate in percent", error=BadRate)
    if rate_bp > MAX_RATE_BP:
        raise BadRate(f"{text[:40]!r} is no tax rate: it must lie between 0 and 100 percent.", text=text)
    return rate_bp


def _format(scaled: int, digits: int, *, at_least: int) -> str:
    """Write an integer scaled by 10 ** digits as a decimal with `at_least` decimals, more only where they are not zero."""
    whole, fraction = divmod(abs(scaled), 10**digits)
    decimals = f"{fraction:0{digits}d}"
    decimals = decimals[:at_least] + decimals[at_least:].rstrip("0")
    return f"{'-' if scaled < 0 else ''}{whole}{'.' if decimals else ''}{decimals}"


def format_amount(minor: int, currency: Currency) -> str:
    """Write minor units as a plain decimal with all digits of the currency: "146.76", JPY "1240"."""
    return _format(minor, currency.exponent, at_least=currency.exponent)


def format_unit_price(e4: int, currency: Currency) -> str:
    """Write a unit price with at least the digits of the currency: "30.00", "0.0125"."""
    return _format(e4, currency.exponent + UNIT_PRICE_EXTRA_DIGITS, at_least=currency.exponent)


def format_quantity(milli: int) -> str:
    """Write thousandths without superfluous zeros: "2", "2.5"."""
    return _format(milli, QUANTITY_DIGITS, at_least=0)


def format_rate(rate_bp: int) -> str:
    """Write basis points as a percentage without superfluous zeros: "19", "7.5"."""
    return _format(rate_bp, RATE_DIGITS, at_least=0)
