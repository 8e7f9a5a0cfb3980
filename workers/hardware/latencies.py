"""How long reads took, as a histogram that is small however many they are.

A bucket is 1/64 of the power of two that it lies in, so a percentile is at most 1.6 % too large.
"""

from collections.abc import Mapping

_FINE = 64  # buckets of each power of two


def bucket_of(latency_ns: int) -> int:
    """The bucket's number; below 128 ns each nanosecond has its own."""
    power = max(0, latency_ns.bit_length() - _FINE.bit_length())
    return power * _FINE + (latency_ns >> power)


def largest_ns(bucket: int) -> int:
    """The largest latency of a bucket."""
    power = max(0, bucket // _FINE - 1)
    return ((bucket - power * _FINE + 1) << power) - 1


class Latencies:
    """Counts by bucket."""

    __slots__ = ("counts",)

    def __init__(self) -> None:
        self.counts: dict[int, int] = {}

    def add(self, latency_ns: int, num: int = 1) -> None:
        bucket = bucket_of(latency_ns)
        self.counts[bucket] = self.counts.get(bucket, 0) + num


def percentile_ns(counts: Mapping[int, int], share: float) -> int:
    """The smallest latency (as its bucket says it) that at least `share` of all do not exceed.
    Raises ValueError where there are none.
    """
    total, seen = sum(counts.values()), 0
    for bucket in sorted(counts):
        seen += counts[bucket]
        if counts[bucket] and seen >= share * total:
            return largest_ns(bucket)
    raise ValueError("no latency was counted")


def more(before: Mapping[int, int], after: Mapping[int, int]) -> dict[int, int]:
    """What came between two looks at one histogram; one that began anew meanwhile counts whole."""
    if any(after.get(bucket, 0) < num for bucket, num in before.items()):
        before = {}
    found = {bucket: num - before.get(bucket, 0) for bucket, num in after.items()}
    return {bucket: num for bucket, num in found.items() if num}
