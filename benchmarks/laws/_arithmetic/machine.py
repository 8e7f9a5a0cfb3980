"""Devices and links by their data sheets."""

from collections.abc import Sequence
from dataclasses import dataclass

from configs.schema.device import DeviceSpec

# Of a machine that has no `scalar` resource of its own: 8 cores, 32e9 operations a second in all.
CORES, OPERATIONS_PER_S = 8, 32e9


@dataclass(frozen=True)
class Machine:
    """One machine that nobody else uses."""

    device: DeviceSpec

    def run(
        self, *, flops: float = 0, reads: float = 0, writes: float = 0, tier: str = ""
    ) -> float:
        """The roofline: the slowest of arithmetic, reading and writing, and what a launch costs."""
        device = self.device
        parts = [flops / (device.compute["fp32"] * device.compute_efficiency) * 1e9]
        parts += [self._access(n, is_read, tier) for n, is_read in ((reads, 1), (writes, 0)) if n]
        return device.launch_overhead_ns + max(parts)

    def copy(self, num_bytes: float) -> float:
        """A message between two workers of this machine: written and read at once."""
        return max(self._access(num_bytes, is_read, "") for is_read in (0, 1))

    def scalar(self, operations: float) -> float:
        """Text and bookkeeping, on one core."""
        own = self.device.resources.get("scalar")
        rate, cores = (OPERATIONS_PER_S, CORES) if own is None else (own.rate_per_s, own.servers)
        return self.device.launch_overhead_ns + operations / (rate / cores) * 1e9

    def streams(self, num_bytes: float) -> float:
        """Bytes out of the default tier, without start-up."""
        return num_bytes / self._rate(1, "") * 1e9

    def _access(self, num_bytes: float, is_read: int, name: str) -> float:
        tier = self.device.tiers[name or self.device.default_tier]
        latency_ns = tier.read_latency_ns if is_read else tier.write_latency_ns
        pages = -(-num_bytes // tier.page_bytes)
        return pages * tier.page_bytes / self._rate(is_read, name) * 1e9 + latency_ns

    def _rate(self, is_read: int, name: str) -> float:
        """Peak times efficiency, and no more than a full queue of pages for each latency."""
        tier = self.device.tiers[name or self.device.default_tier]
        peak = tier.read_bytes_per_s if is_read else tier.write_bytes_per_s
        latency_ns = tier.read_latency_ns if is_read else tier.write_latency_ns
        arriving = tier.queue_depth * tier.page_bytes * 1e9 / latency_ns if latency_ns else 1e30
        return min(peak * tier.efficiency, arriving)


def fair(flows: Sequence[tuple[float, float]], bytes_per_s: float) -> list[float]:
    """When each of (start, bytes) has moved, all that are there at once having equal parts."""
    left = [float(size) for _, size in flows]
    ends = [0.0] * len(flows)
    now = min(start for start, _ in flows)
    open_ = set(range(len(flows)))
    while open_:
        here = [i for i in sorted(open_) if flows[i][0] <= now]
        later = [flows[i][0] for i in sorted(open_) if flows[i][0] > now]
        if not here:
            now = min(later)
            continue
        each = bytes_per_s / len(here) * 1e-9
        step = min([left[i] / each for i in here] + [start - now for start in later])
        now += step
        for i in here:
            left[i] -= each * step
            if left[i] < 1e-6:
                open_.remove(i)
                ends[i] = now
    return ends


@dataclass(frozen=True)
class Link:
    """The same at both ends of every path."""

    latency_ns: float
    bytes_per_s: float

    def alone(self, num_bytes: float) -> float:
        """Cut through: the first byte is under way for a latency, the last follows at the rate."""
        return self.latency_ns + num_bytes / self.bytes_per_s * 1e9

    def out(self, flows: Sequence[tuple[float, float]]) -> list[float]:
        """From one node to several: when each is there. They share the way out."""
        return [end + self.latency_ns for end in fair(flows, self.bytes_per_s)]

    def into(self, flows: Sequence[tuple[float, float]]) -> list[float]:
        """From several nodes to one: (when it leaves, bytes). They share the way in."""
        ends = fair([(at + self.latency_ns, size) for at, size in flows], self.bytes_per_s)
        alone = [at + self.alone(size) for at, size in flows]
        return [max(pair) for pair in zip(ends, alone, strict=True)]
