"""Watts over time of a whole cluster, from the timelines of its nodes. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from workers.hardware.energy.meter import Reading

# As many as a line of a report can show.
NUM_BUCKETS = 64


@dataclass(frozen=True, slots=True)
class Power:
    """Mean watts in each of some spans of equal length, from `begin_ns` on: watts x span, added up,
    is the energy.
    """

    begin_ns: int
    bucket_ns: float
    watts: tuple[float, ...]

    @property
    def peak_watts(self) -> float:
        """Of a span's mean."""
        return max(self.watts, default=0.0)

    @property
    def joules(self) -> float:
        return sum(self.watts) * self.bucket_ns * 1e-9


def power_of(readings: Iterable[Reading]) -> Power:
    """At most NUM_BUCKETS of them, from the first beginning to the end of whatever was begun."""
    known = list(readings)
    begin_ns = min((r.begin_ns for r in known), default=0)
    end_ns = max((_end_ns(r) for r in known), default=begin_ns)
    width = (end_ns - begin_ns) / NUM_BUCKETS
    if not width:
        return Power(begin_ns, 0.0, ())
    joules = [0.0] * NUM_BUCKETS
    for reading in known:
        last_ns = _end_ns(reading)
        for index, energy in enumerate(reading.buckets):
            first_ns = reading.begin_ns + index * reading.bucket_ns
            until_ns = min(first_ns + reading.bucket_ns, last_ns)
            _pour(joules, (first_ns - begin_ns) / width, (until_ns - begin_ns) / width, energy)
    return Power(begin_ns, width, tuple(energy / (width * 1e-9) for energy in joules))


def _end_ns(reading: Reading) -> int:
    """Of its last bucket, or when it was read, where nothing that was begun lies beyond that."""
    last_ns = reading.begin_ns + len(reading.buckets) * reading.bucket_ns
    begins_ns = last_ns - reading.bucket_ns
    return last_ns if begins_ns >= reading.until_ns else max(reading.until_ns, begins_ns + 1)


def _pour(joules: list[float], begin: float, end: float, energy: float) -> None:
    """Energy evenly over [begin, end), in buckets; what rounding leaves goes to the last."""
    left, index = energy, min(int(begin), len(joules) - 1)
    while index + 1 < min(end, len(joules)):
        share = energy * (index + 1 - max(begin, index)) / (end - begin)
        joules[index] += share
        left -= share
        index += 1
    joules[index] += left
