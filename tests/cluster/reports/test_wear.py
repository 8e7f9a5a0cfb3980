"""How long tiers last, by hand: 1,000 cycles of 10 GB, written for 2 s."""

import json
from dataclasses import asdict

import pytest

from cluster.reports.wear import wear, wear_lines
from configs.schema import EconomicsSection
from tests.workers.bench import make_device, make_tier
from workers.hardware.usage import Usage

YEAR_S = 365.25 * 86_400
TIER = make_tier(capacity_bytes=10 * 10**9, endurance_cycles=1_000)
DEVICES = {"a": make_device({"hbf": TIER, "hbm": make_tier()}, default_tier="hbm")}
ECONOMICS = EconomicsSection(years=6)


def usage(written_bytes: int) -> dict[str, Usage]:
    tiers = {"hbf": {"written_bytes": written_bytes}, "hbm": {"written_bytes": 10**12}}
    return {"a": Usage(2 * 10**9, {}, {}, tiers, {})}


def test_life_is_cycles_times_capacity_over_the_rate_of_writes() -> None:
    """40 kB/s: 1e13 B / 4e4 B/s = 2.5e8 s, 7.92 years; DRAM does not wear, and is not there."""
    (one,) = wear(usage(80_000), DEVICES, ECONOMICS)
    assert (one.tier, one.written_bytes, one.write_bytes_per_s) == ("a.hbf", 80_000, 40_000)
    assert one.life_years == pytest.approx(2.5e8 / YEAR_S)
    assert one.lasts
    (line,) = wear_lines([one])
    assert "80,000 B written" in line and "lasts 7.92 years (projection)" in line


def test_what_wears_out_before_its_years_says_so() -> None:
    (one,) = wear(usage(8_000_000), DEVICES, ECONOMICS)
    assert one.life_years == pytest.approx(2.5e6 / YEAR_S) and not one.lasts
    (line,) = wear_lines([one])
    assert "it wears out before the 6 years of economics.years" in line


def test_who_works_half_of_the_time_writes_half_as_much() -> None:
    half = ECONOMICS.model_copy(update={"utilisation": 0.5})
    (one,) = wear(usage(80_000), DEVICES, half)
    assert one.life_years == pytest.approx(5e8 / YEAR_S)


def test_without_writes_nothing_wears() -> None:
    known = wear(usage(0), DEVICES, ECONOMICS)
    assert [(one.life_years, one.lasts) for one in known] == [(None, True)]
    assert list(wear_lines(known)) == ["wear of a.hbf: no writes: does not wear"]
    assert json.loads(json.dumps([asdict(one) for one in known]))[0]["life_years"] is None
    assert list(wear_lines([])) == []
