"""Values that carry their unit: "2 us", "3.35 TB/s", "80 GB" in text; integers in base units
inside.

In a scenario or preset file a bare number where a unit belongs is refused, because nobody can tell
GB from GiB or us from ns by looking at it. In Python code the field's name carries the unit
(`latency_ns=2_000`), so an integer is taken as it is. Which of the two is being read is told by the
validation context `TEXT`.
"""

from collections.abc import Mapping
from fractions import Fraction
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, ValidationInfo

from configs.outside import INTEGER_MAX, exact, shown
from configs.quantity import NUMBER, Quantity

TEXT: Mapping[str, bool] = {"text": True}


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
MESSAGE_RATE = Quantity(
    name="message rate",
    base="msg/s",
    units=_scaled("msg/s", k=3, M=6, G=9) | {"msg/s": Fraction(1)},
    shown=("Gmsg/s", "Mmsg/s", "kmsg/s", "msg/s"),
    example="5 Mmsg/s",
    least=1,
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
ENERGY_PRICE = Quantity(
    name="energy price",
    base="USD/kWh",
    units={"USD/kWh": Fraction(1), "USD/MWh": Fraction(1, 1000)},
    shown=("USD/kWh",),
    example="0.08 USD/kWh",
    whole=False,
)
CARBON = Quantity(
    name="carbon footprint",
    base="kgCO2e",
    units={"gCO2e": Fraction(1, 1000), "kgCO2e": Fraction(1), "tCO2e": Fraction(1000)},
    shown=("tCO2e", "kgCO2e"),
    example="164 kgCO2e",
    whole=False,
)
CARBON_INTENSITY = Quantity(
    name="carbon intensity",
    base="gCO2e/kWh",
    units={"gCO2e/kWh": Fraction(1), "kgCO2e/kWh": Fraction(1000)},
    shown=("gCO2e/kWh",),
    example="350 gCO2e/kWh",
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
        match = NUMBER.fullmatch(value.strip())
        if match is None or match.group(2) != "%":
            raise ValueError(f'{shown(value)} is no ratio: write 0.5 or "50 %"')
        return float(exact(match.group(1)) / 100)
    return value


DurationNs = Annotated[int, _reads(DURATION), _writes(DURATION)]
Bytes = Annotated[int, _reads(SIZE), _writes(SIZE)]
BytesPerSecond = Annotated[int, _reads(BANDWIDTH), _writes(BANDWIDTH)]
MessagesPerSecond = Annotated[int, _reads(MESSAGE_RATE), _writes(MESSAGE_RATE)]
FlopsPerSecond = Annotated[int, _reads(COMPUTE), _writes(COMPUTE)]
Watts = Annotated[float, _reads(POWER), _writes(POWER)]
PicojoulePerBit = Annotated[float, _reads(BIT_ENERGY), _writes(BIT_ENERGY)]
Picojoule = Annotated[float, _reads(OPERATION_ENERGY), _writes(OPERATION_ENERGY)]
UsDollar = Annotated[float, _reads(PRICE), _writes(PRICE)]
UsDollarPerKwh = Annotated[float, _reads(ENERGY_PRICE), _writes(ENERGY_PRICE)]
KilogramCo2e = Annotated[float, _reads(CARBON), _writes(CARBON)]
GramCo2ePerKwh = Annotated[float, _reads(CARBON_INTENSITY), _writes(CARBON_INTENSITY)]
Ratio = Annotated[float, BeforeValidator(_ratio)]
