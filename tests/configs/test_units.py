"""Quantities in text: exact both ways, and no unit is ever guessed."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from configs.quantity import Quantity
from configs.units import (
    BANDWIDTH,
    BIT_ENERGY,
    CARBON,
    CARBON_INTENSITY,
    COMPUTE,
    DURATION,
    ENERGY_PRICE,
    MESSAGE_RATE,
    OPERATION_ENERGY,
    POWER,
    PRICE,
    SIZE,
    TEXT,
    Bytes,
    DurationNs,
    Ratio,
    Watts,
)

WHOLE = (DURATION, SIZE, BANDWIDTH, MESSAGE_RATE, COMPUTE)
REAL = (POWER, BIT_ENERGY, OPERATION_ENERGY, PRICE, ENERGY_PRICE, CARBON, CARBON_INTENSITY)


@pytest.mark.parametrize(
    ("quantity", "text", "value"),
    [
        (DURATION, "2 us", 2_000),
        (DURATION, "3.33us", 3_330),
        (DURATION, "1 µs", 1_000),
        (DURATION, "1.5 h", 5_400_000_000_000),
        (SIZE, "80 GB", 80_000_000_000),
        (SIZE, "4 KiB", 4_096),
        (SIZE, "1_024 B", 1_024),
        (BANDWIDTH, "3.35 TB/s", 3_350_000_000_000),
        (BANDWIDTH, "400 Gb/s", 50_000_000_000),
        (BANDWIDTH, "1e3 MB/s", 1_000_000_000),
        (MESSAGE_RATE, "2.9 Mmsg/s", 2_900_000),
        (MESSAGE_RATE, "7 msg/s", 7),
        (COMPUTE, "989 TFLOP/s", 989_000_000_000_000),
        (POWER, "0.7 kW", 700.0),
        (BIT_ENERGY, "3.4 pJ/bit", 3.4),
        (OPERATION_ENERGY, "190 fJ", 0.19),
        (PRICE, "30 kUSD", 30_000.0),
        (ENERGY_PRICE, "80 USD/MWh", 0.08),
        (CARBON, "164000 gCO2e", 164.0),
        (CARBON_INTENSITY, "0.35 kgCO2e/kWh", 350.0),
    ],
)
def test_text_becomes_base_units(quantity: Quantity, text: str, value: float) -> None:
    assert quantity.parse(text) == value


@pytest.mark.parametrize("quantity", WHOLE, ids=lambda q: q.name)
@given(value=st.integers(0, 10**18))
def test_whole_values_survive_the_round_trip(quantity: Quantity, value: int) -> None:
    value += quantity.least
    assert quantity.parse(quantity.format(value)) == value


@pytest.mark.parametrize("quantity", REAL, ids=lambda q: q.name)
@given(value=st.floats(0, 1e9, allow_subnormal=False))
def test_real_values_survive_the_round_trip(quantity: Quantity, value: float) -> None:
    assert quantity.parse(quantity.format(value)) == value


@pytest.mark.parametrize("quantity", [*WHOLE, *REAL], ids=lambda q: q.name)
@given(number=st.integers(1, 10**6), data=st.data())
def test_every_unit_scales_exactly(quantity: Quantity, number: int, data: Any) -> None:
    unit = data.draw(st.sampled_from(list(quantity.units)))
    expected = number * quantity.units[unit]
    if quantity.whole and expected.denominator != 1:
        with pytest.raises(ValueError, match="no whole number"):
            quantity.parse(f"{number} {unit}")
    elif expected < quantity.least:
        with pytest.raises(ValueError, match="too little"):
            quantity.parse(f"{number} {unit}")
    else:
        assert quantity.parse(f"{number} {unit}") == (
            expected.numerator if quantity.whole else float(expected)
        )


@pytest.mark.parametrize(
    ("quantity", "text", "message"),
    [
        (DURATION, "2", "has no unit"),
        (DURATION, "2 weeks", "takes one of ns, us"),
        (DURATION, "-2 us", "below zero"),
        (DURATION, "0.6 ns", 'no whole number of ns: the nearest is "1 ns"'),
        (SIZE, "1.26 GiB", 'no whole number of B: the nearest is "1352914698 B"'),
        (DURATION, "fast", 'write "2 us"'),
        (DURATION, "", 'write "2 us"'),
        (BANDWIDTH, "50 GB", "takes one of"),
        (SIZE, "80 gb", "did you mean 'GB'"),
        (BANDWIDTH, "400 gb/s", "did you mean 'GB/s' or 'Gb/s'"),
        (BANDWIDTH, "inf GB/s", "is no bandwidth"),
        (BANDWIDTH, "0 GB/s", "'0 GB/s' is too little: a bandwidth is at least 1 kB/s"),
        (BANDWIDTH, "7 kb/s", "is too little: a bandwidth is at least 1 kB/s"),
        (COMPUTE, "0 FLOP/s", "is too little: a compute rate is at least 1 kFLOP/s"),
    ],
)
def test_errors_say_what_would_be_right(quantity: Quantity, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        quantity.parse(text)


class Sample(BaseModel):
    wait_ns: DurationNs = 0
    size_bytes: Bytes = 0
    draw_watts: Watts = 0.0
    share: Ratio = 0.0


@pytest.mark.parametrize("field", ["wait_ns", "size_bytes", "draw_watts"])
@pytest.mark.parametrize("value", [0, 5, 5.0, True, None, [1]])
def test_a_bare_number_in_a_file_is_refused(field: str, value: object) -> None:
    with pytest.raises(ValidationError):
        Sample.model_validate({field: value}, context=dict(TEXT))


def test_code_gives_base_units_as_numbers() -> None:
    assert Sample(wait_ns=2_000, size_bytes=80, draw_watts=0.5).wait_ns == 2_000
    with pytest.raises(ValidationError, match="below zero"):
        Sample(wait_ns=-1)
    with pytest.raises(ValidationError, match="no whole number"):
        Sample.model_validate({"wait_ns": 0.5})


def test_numbers_are_written_with_their_unit() -> None:
    sample = Sample(wait_ns=2_000, size_bytes=4096, draw_watts=0.62)
    written = sample.model_dump(mode="json")
    assert written == {
        "wait_ns": "2 us",
        "size_bytes": "4 KiB",
        "draw_watts": "0.62 W",
        "share": 0.0,
    }
    assert Sample.model_validate(written, context=dict(TEXT)) == sample


def test_a_ratio_may_be_a_percentage() -> None:
    for value in ("50 %", "50%", 0.5, "0.5"):
        assert Sample.model_validate({"share": value}, context=dict(TEXT)).share == 0.5
    with pytest.raises(ValidationError, match="50 %"):
        Sample.model_validate({"share": "half %"}, context=dict(TEXT))
