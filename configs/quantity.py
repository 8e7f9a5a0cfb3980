"""A physical quantity: which units it has, how text of it is read, checked and written.

Arithmetic is exact (fractions): text -> integer -> text -> integer gives the same integer.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from configs.outside import exact, shown

NUMBER = re.compile(r"([+-]?[0-9][0-9_]*(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)\s*(.*)")


@dataclass(frozen=True, slots=True)
class Quantity:
    """One physical quantity.

    name      what it is, for errors              base   unit of the value inside
    units     unit -> how many base units; the order is the order in which errors list them
    shown     units that `format` may pick, largest first
    example   a right value, for errors
    whole     the value inside is an integer; text that is no whole number of base units is refused
    least     smallest value, in base units. Of a rate it is above zero: what is divided by a rate
              would otherwise be free
    most      the largest value inside
    """

    name: str
    base: str
    units: Mapping[str, Fraction]
    shown: tuple[str, ...]
    example: str
    whole: bool = True
    least: int = 0
    most: int = 10**30

    def parse(self, text: str) -> int | float:
        """The value in base units. Raises ValueError saying what is wrong and what would be
        right.
        """
        match = NUMBER.fullmatch(text.strip())
        if match is None:
            raise ValueError(f'{shown(text)} is no {self.name}: write "{self.example}"')
        number, unit = match.groups()
        if not unit:
            raise ValueError(
                f"{shown(text)} has no unit: a {self.name} needs one of {self._accepted()}"
            )
        factor = self.units.get(unit)
        if factor is None:
            hint = self._same_letters(unit)
            raise ValueError(
                f"{shown(text)} has unit {shown(unit)}: a {self.name} takes one of "
                f"{self._accepted()}{hint}"
            )
        return self._checked(exact(number) * factor, text)

    def accept(self, value: object, in_text: bool) -> int | float:
        """A value from a file (`in_text`) or from Python code, where the field's name says the
        unit.
        """
        if isinstance(value, str):
            return self.parse(value)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ValueError(f'{shown(value)} is no {self.name}: write "{self.example}"')
        if in_text:
            raise ValueError(
                f"{shown(value)} has no unit: a {self.name} needs one of {self._accepted()}, "
                f'for example "{self.example}"'
            )
        if not -math.inf < value < math.inf:
            raise ValueError(f"{value!r} is not finite: a {self.name} is zero or more")
        return self._checked(Fraction(value), value)

    def format(self, value: int | float) -> str:
        """Text in the largest unit that shows the value exactly within three decimals, else in base
        units.
        """
        exact = Fraction(str(value)) if isinstance(value, float) else Fraction(value)
        for unit in self.shown:
            scaled = exact / self.units[unit]
            if scaled >= 1 and (scaled * 1000).denominator == 1:
                return f"{_decimal(scaled)} {unit}"
        return f"{_decimal(exact)} {self.base}" if self.whole else f"{value!r} {self.base}"

    def _checked(self, value: Fraction, given: object) -> int | float:
        if value > self.most:
            raise ValueError(
                f"{shown(given)} is too large: a {self.name} is below {self.most:.3g} {self.base}"
            )
        if value < 0:
            at_least = self._at_least() or "zero or more"
            raise ValueError(f"{shown(given)} is below zero: a {self.name} is {at_least}")
        if value < self.least:
            raise ValueError(
                f"{shown(given)} is too little: a {self.name} is {self._at_least()}, for example "
                f'"{self.example}"'
            )
        if not self.whole:
            return float(value)
        if value.denominator != 1:
            near = max(round(value), self.least)
            raise ValueError(
                f"{shown(given)} is no whole number of {self.base}: the nearest is "
                f'"{near} {self.base}"'
            )
        return value.numerator

    def _at_least(self) -> str:
        return f"at least {self.format(self.least)}" if self.least else ""

    def _accepted(self) -> str:
        return ", ".join(self.units)

    def _same_letters(self, unit: str) -> str:
        """GB and Gb differ eightfold, so case counts; but say which one was probably meant."""
        fitting = [known for known in self.units if known.lower() == unit.lower()]
        return f"; did you mean {' or '.join(map(repr, fitting))}?" if fitting else ""


def _decimal(value: Fraction) -> str:
    """Exact decimal text without exponent; the callers' values have at most three decimals."""
    thousandths = value * 1000
    assert thousandths.denominator == 1, value
    whole, rest = divmod(thousandths.numerator, 1000)
    return f"{whole}.{rest:03d}".rstrip("0").rstrip(".") if rest else str(whole)
