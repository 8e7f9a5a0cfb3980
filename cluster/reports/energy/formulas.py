"""What energy comes to over the life of a cluster. Pure: numbers in, numbers out.

Sources. Total cost of ownership: Barroso, Hölzle and Ranganathan, "The Datacenter as a Computer",
3rd edition (2018), chapter 6: depreciation and energy; buildings, links, staff and interest are
left out. Carbon: Software Carbon Intensity, ISO/IEC 21031:2024: (E x I + M) / R, with
M = TE x TS x RS; here R is a million tokens, and the cluster serves nothing else, so RS is 1.
Performance by TCO, power and CO2e: Ma and Patterson, IEEE Computer 59(5), 2026.
"""

from dataclasses import dataclass

SECONDS_A_YEAR = 365.25 * 24 * 3600
JOULES_A_KWH = 3.6e6
MILLION = 1e6


@dataclass(frozen=True, slots=True)
class Life:
    """A cluster that does for all its life what it did in a run, or idles.

    tokens_per_s   output tokens while it works
    watts, idle_watts   of its machines while it works, and else
    utilisation    share of its life in which it works
    pue            energy of the datacentre / energy of its machines
    """

    years: float
    utilisation: float
    tokens_per_s: float
    watts: float
    idle_watts: float
    pue: float

    @property
    def tokens(self) -> float:
        """tokens/s x utilisation x seconds of its life."""
        return self.tokens_per_s * self.utilisation * self.years * SECONDS_A_YEAR

    @property
    def kwh(self) -> float:
        """(watts x utilisation + idle watts x the rest) x PUE x seconds of its life / 3.6e6."""
        watts = self.watts * self.utilisation + self.idle_watts * (1 - self.utilisation)
        return watts * self.pue * self.years * SECONDS_A_YEAR / JOULES_A_KWH


def tokens_per_joule(num_tokens: int, joules: float) -> float:
    """Of the machines, idle power included; without PUE."""
    return num_tokens / joules


def tco_usd(life: Life, price_usd: float, usd_per_kwh: float) -> float:
    """What the machines cost to buy + what their energy costs."""
    return price_usd + life.kwh * usd_per_kwh


def usd_per_mtoken(life: Life, tco: float) -> float:
    """TCO / tokens of its life x 1e6."""
    return tco / life.tokens * MILLION


def tokens_per_s_per_usd(life: Life, tco: float) -> float:
    """tokens/s x utilisation / TCO."""
    return life.tokens_per_s * life.utilisation / tco


def operational_g_per_mtoken(life: Life, carbon_g_per_kwh: float) -> float:
    """E x I / R: energy of its life x carbon intensity of the grid / tokens of its life x 1e6."""
    return life.kwh * carbon_g_per_kwh / life.tokens * MILLION


def embodied_g_per_mtoken(life: Life, embodied_kg: float) -> float:
    """M / R: CO2e of making the machines / tokens of its life x 1e6."""
    return embodied_kg * 1_000 / life.tokens * MILLION
