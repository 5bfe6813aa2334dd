"""Writes amounts, quantities, rates, days and times as people of a language do. It must not know which of them stand where.

Digits come from our own currencies, not from the locale's: there IQD has none.
"""

import re
from datetime import date, datetime
from decimal import Decimal

from babel import Locale
from babel.dates import format_date, format_time
from babel.numbers import format_currency, format_decimal, format_percent, get_currency_symbol

from billing import clock
from billing.money import QUANTITY_DIGITS, RATE_DIGITS, UNIT_PRICE_EXTRA_DIGITS, Currency

_DIGITS_OF_PATTERN = re.compile(r"([#0,]*[#0])(\.[#0]+)?")


class Writer:
    """Writes for one language (a locale's tag), time zone and currency. Amounts are minor units, everything stays a whole number until printed."""

    def __init__(self, *, language: str, time_zone: str, currency: Currency) -> None:
        self._locale = Locale.parse(language)
        self._zone = clock.zone(time_zone)
        self._currency = currency

    def amount(self, minor: int) -> str:
        """Write an amount with all digits of the currency, without its name: 1,234.50."""
        digits = self._currency.exponent
        return self._number(minor, digits, at_least=digits)

    def money(self, minor: int) -> str:
        """Write an amount with the currency: €1,234.50, 1.234,50 €, IQD 1.250."""
        digits, code = self._currency.exponent, self._currency.code
        pattern = _with_decimals(self._locale.currency_formats["standard"].pattern, digits, digits)
        symbol = get_currency_symbol(code, locale=self._locale)
        if symbol[-1:].isalpha():
            pattern = re.sub(r"¤(?=[#0])", "¤\N{NO-BREAK SPACE}", pattern)
        return format_currency(_decimal(minor, digits), code, pattern, locale=self._locale, currency_digits=False)

    def unit_price(self, e4: int) -> str:
        """Write a unit price with at least the digits of the currency: 30.00, 0.0125."""
        return self._number(e4, self._currency.exponent + UNIT_PRICE_EXTRA_DIGITS, at_least=self._currency.exponent)

    def quantity(self, milli: int) -> str:
        """Write a quantity without superfluous zeros."""
        return self._number(milli, QUANTITY_DIGITS, at_least=0)

    def rate(self, bp: int) -> str:
        """Write a rate in percent without superfluous zeros."""
        pattern = _with_decimals(self._locale.percent_formats[None].pattern, 0, RATE_DIGITS)
        return format_percent(_decimal(bp, RATE_DIGITS + 2), pattern, locale=self._locale)

    def day(self, day: date) -> str:
        """Write a day of the calendar."""
        return format_date(day, "medium", locale=self._locale)

    def time(self, at: datetime) -> str:
        """Write an instant as day and time on the clinic's clocks."""
        here = at.astimezone(self._zone)
        return f"{self.day(here.date())} {format_time(here, 'short', tzinfo=self._zone, locale=self._locale)}"

    def _number(self, scaled: int, digits: int, *, at_least: int) -> str:
        pattern = _with_decimals(self._locale.decimal_formats[None].pattern, at_least, digits)
        return format_decimal(_decimal(scaled, digits), pattern, locale=self._locale)


def _with_decimals(pattern: str, at_least: int, at_most: int) -> str:
    decimals = "0" * at_least + "#" * (at_most - at_least)
    return _DIGITS_OF_PATTERN.sub(lambda found: found[1] + (f".{decimals}" if decimals else ""), pattern)


def _decimal(scaled: int, digits: int) -> Decimal:
    return Decimal(scaled).scaleb(-digits)
