"""Values that carry their unit: "2 us", "3.35 TB/s", "80 GB" in text; integers in base units
inside.

In a scenario or preset file a bare number where a unit belongs is refused, because nobody can tell
GB from GiB or us from ns by looking at it. In Python code the field's name carries the unit
(`latency_ns=2_000`), so an integer is taken as it is. Which of the two is being read is told by the
validation context `TEXT`.

Arithmetic is exact (fractions): text -> integer -> text -> integer gives the same integer.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, ValidationInfo

from configs.outside import INTEGER_MAX, exact, shown

TEXT: Mapping[str, bool] = {"text": True}

_NUMBER = re.compile(r"([+-]?[0-9][0-9_]*(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)\s*(.*)")


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
        match = _NUMBER.fullmatch(text.strip())
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
            raise ValueError(
                f"{shown(given)} is no whole number of {self.base}: the finest is 1 {self.base}"
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


def _scaled(base: str, **prefixes: int) -> dict[str, Fraction]:
    """`base` with metric prefixes: prefix -> power of ten."""
    return {f"{prefix}{base}": Fraction(10) ** power for prefix, power in prefixes.items()}


_METRIC = {"k": 3, "M": 6, "G": 9, "T": 12, "P": 15}
_BINARY = {"KiB": 10, "MiB": 20, "GiB": 30, "TiB": 40}
_BYTES = {
    "B": Fraction(1),
    **_scaled("B", **_METRIC),
    **{unit: Fraction(2) ** power for unit, power in _BINARY.items()},
}
_BITS_PER_S = {f"{p}b/s": Fraction(10**power, 8) for p, power in _METRIC.items()}

DURATION = Quantity(
    name="duration",
    base="ns",
    units={
        "ns": Fraction(1),
        "us": Fraction(10**3),
        "µs": Fraction(10**3),
        "ms": Fraction(10**6),
        "s": Fraction(10**9),
        "min": Fraction(60 * 10**9),
        "h": Fraction(3600 * 10**9),
    },
    shown=("h", "min", "s", "ms", "us", "ns"),
    example="2 us",
    most=INTEGER_MAX,  # frames and clocks hold 64 bits
)
SIZE = Quantity(
    name="size",
    base="B",
    units=_BYTES,
    shown=("PB", "TB", "GB", "MB", "TiB", "GiB", "MiB", "KiB", "kB", "B"),
    example="80 GB",
)
BANDWIDTH = Quantity(
    name="bandwidth",
    base="B/s",
    units={**{f"{unit}/s": factor for unit, factor in _BYTES.items()}, **_BITS_PER_S},
    shown=("PB/s", "TB/s", "GB/s", "MB/s", "kB/s", "B/s"),
    example="3.35 TB/s",
    least=1_000,
)
COMPUTE = Quantity(
    name="compute rate",
    base="FLOP/s",
    units={"FLOP/s": Fraction(1), **_scaled("FLOP/s", **_METRIC)},
    shown=("PFLOP/s", "TFLOP/s", "GFLOP/s", "MFLOP/s", "kFLOP/s", "FLOP/s"),
    example="989 TFLOP/s",
    least=1_000,
)
POWER = Quantity(
    name="power",
    base="W",
    units={"mW": Fraction(1, 1000), "W": Fraction(1), "kW": Fraction(1000), "MW": Fraction(10**6)},
    shown=("MW", "kW", "W"),
    example="700 W",
    whole=False,
)
BIT_ENERGY = Quantity(
    name="energy per bit",
    base="pJ/bit",
    units={"fJ/bit": Fraction(1, 1000), "pJ/bit": Fraction(1), "nJ/bit": Fraction(1000)},
    shown=("pJ/bit",),
    example="3.4 pJ/bit",
    whole=False,
)
OPERATION_ENERGY = Quantity(
    name="energy per operation",
    base="pJ",
    units={"fJ": Fraction(1, 1000), "pJ": Fraction(1), "nJ": Fraction(1000)},
    shown=("pJ",),
    example="0.19 pJ",
    whole=False,
)
PRICE = Quantity(
    name="price",
    base="USD",
    units={"USD": Fraction(1), "kUSD": Fraction(1000)},
    shown=("USD",),
    example="30000 USD",
    whole=False,
)


def _reads(quantity: Quantity) -> BeforeValidator:
    def validate(value: Any, info: ValidationInfo) -> int | float:
        in_text = bool(info.context and info.context.get("text"))
        return quantity.accept(value, in_text)

    return BeforeValidator(validate)


def _writes(quantity: Quantity) -> PlainSerializer:
    return PlainSerializer(quantity.format, return_type=str, when_used="json")


def _ratio(value: Any) -> Any:
    """ "50 %" or 0.5; a ratio needs no unit. The bounds are the field's."""
    if isinstance(value, str) and value.strip().endswith("%"):
        match = _NUMBER.fullmatch(value.strip())
        if match is None or match.group(2) != "%":
            raise ValueError(f'{shown(value)} is no ratio: write 0.5 or "50 %"')
        return float(exact(match.group(1)) / 100)
    return value


DurationNs = Annotated[int, _reads(DURATION), _writes(DURATION)]
Bytes = Annotated[int, _reads(SIZE), _writes(SIZE)]
BytesPerSecond = Annotated[int, _reads(BANDWIDTH), _writes(BANDWIDTH)]
FlopsPerSecond = Annotated[int, _reads(COMPUTE), _writes(COMPUTE)]
Watts = Annotated[float, _reads(POWER), _writes(POWER)]
PicojoulePerBit = Annotated[float, _reads(BIT_ENERGY), _writes(BIT_ENERGY)]
Picojoule = Annotated[float, _reads(OPERATION_ENERGY), _writes(OPERATION_ENERGY)]
UsDollar = Annotated[float, _reads(PRICE), _writes(PRICE)]
Ratio = Annotated[float, BeforeValidator(_ratio)]
