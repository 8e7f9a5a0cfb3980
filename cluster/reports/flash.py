"""How long pages of flash took, and what they were put to: what a run says of every tier with
banks.
"""

from collections.abc import Mapping

from cluster.reports.tables import duration
from workers.hardware.latencies import percentile_ns
from workers.hardware.usage import Usage

# Key of a tier's counts -> as a line says it.
COUNTED = {
    "pages_sensed": "pages sensed",
    "page_cache_hits": "page-cache hits",
    "retries": "retries",
    "refreshes": "refreshes",
    "pages_programmed": "pages programmed",
}
SHARES = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999}


def page_figures(
    latencies: Mapping[str, Mapping[str, Mapping[int, int]]],
) -> dict[str, dict[str, float]]:
    """ "<node>.<tier>.read" and ".write" -> number of pages, and percentiles in microseconds from
    when a page had its place in the queue until it was there; ways that moved none are left out.
    A percentile is a histogram's: at most 1.6 % too large.
    """
    return {
        f"{node}.{way}": {
            "pages": sum(counts.values()),
            **{name: percentile_ns(counts, share) / 1e3 for name, share in SHARES.items()},
        }
        for node, ways in latencies.items()
        for way, counts in ways.items()
        if any(counts.values())
    }


def flash_lines(latencies: Mapping[str, Mapping[str, Mapping[int, int]]]) -> list[str]:
    """A line for each of them."""
    return [
        f"pages of {what}: {figures['pages']:,}, "
        + ", ".join(f"{name} {duration(figures[name])}" for name in SHARES)
        for what, figures in page_figures(latencies).items()
    ]


def tier_figures(usage: Mapping[str, Usage]) -> dict[str, dict[str, int]]:
    """ "<node>.<tier>" -> what it moved, and with banks what its pages were put to, as
    `workers.hardware.usage` counts it; tiers that nobody asked for are left out.
    """
    return {
        f"{node}.{tier}": dict(counts)
        for node, told in usage.items()
        for tier, counts in told.tiers.items()
        if any(counts.values())
    }


def count_lines(usage: Mapping[str, Usage]) -> list[str]:
    """A line for each tier with banks."""
    return [
        f"in {tier}: " + ", ".join(f"{counts[key]:,} {name}" for key, name in COUNTED.items())
        for tier, counts in tier_figures(usage).items()
        if "pages_sensed" in counts
    ]
