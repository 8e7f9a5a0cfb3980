"""How long pages of flash took: what a run says of every tier with banks."""

from collections.abc import Mapping

from cluster.reports.tables import duration
from workers.hardware.latencies import percentile_ns

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
