"""Cost and carbon, worked out by hand: a cluster of 1,000 W and 200 W idle, 500 tokens/s, half of
a year of 365.25 days (31,557,600 s), PUE 1.2.

Its power is 600 W, in a year 600 x 1.2 x 31,557.6e3 / 3.6e6 = 6,311.52 kWh; its tokens are
500 x 0.5 x 31,557,600 = 7,889.4e6.
"""

import pytest

from cluster.reports.energy import formulas
from cluster.reports.energy.formulas import Life

LIFE = Life(years=1, utilisation=0.5, tokens_per_s=500, watts=1_000, idle_watts=200, pue=1.2)


def test_a_life_has_its_tokens_and_its_energy() -> None:
    assert LIFE.tokens == pytest.approx(7_889.4e6)
    assert LIFE.kwh == pytest.approx(6_311.52)


def test_tokens_of_a_joule() -> None:
    assert formulas.tokens_per_joule(500, 1_000) == 0.5


def test_tco_is_the_price_and_the_energy() -> None:
    """10,000 USD and 6,311.52 kWh at 0.10 USD."""
    assert formulas.tco_usd(LIFE, 10_000, 0.10) == pytest.approx(10_631.152)


def test_money_by_tokens() -> None:
    """10,631.152 / 7,889.4 Mtoken; 250 tokens/s / 10,631.152."""
    assert formulas.usd_per_mtoken(LIFE, 10_631.152) == pytest.approx(1.3475235, rel=1e-6)
    assert formulas.tokens_per_s_per_usd(LIFE, 10_631.152) == pytest.approx(0.023515796, rel=1e-6)


def test_carbon_by_tokens() -> None:
    """6,311.52 kWh x 350 g / 7,889.4 Mtoken = 280 g; 164 kg / 7,889.4 Mtoken = 20.787 g."""
    assert formulas.operational_g_per_mtoken(LIFE, 350) == pytest.approx(280)
    assert formulas.embodied_g_per_mtoken(LIFE, 164) == pytest.approx(20.787386, rel=1e-6)
