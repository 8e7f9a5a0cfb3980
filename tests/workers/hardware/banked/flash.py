"""A small flash to reckon with by hand: pages of 1,000 bytes, a byte a nanosecond, four planes.

Sensing takes 4,000 ns, so four planes just reach the bus; programming takes 10,000 ns, and a page's
turn at the write bandwidth 4,000 ns.
"""

from typing import Any

from configs.schema.tier import TierSpec
from tests.workers.bench import make_device, make_tier
from workers.hardware.hardware import Hardware
from workers.hardware.work import Demand, Work
from workers.host.clock.virtual import VirtualClock
from workers.host.rng import Rng
from workers.host.trace import Trace

PAGE = 1_000


def flash(**changes: object) -> TierSpec:
    values: dict[str, object] = {
        "capacity_bytes": 4_000 * PAGE,
        "write_bytes_per_s": 250_000_000,
        "page_bytes": PAGE,
        "read_latency_ns": 4_000,
        "write_latency_ns": 10_000,
        "channels": 1,
        "banks": 2,
        "planes": 2,
    }
    return make_tier(**(values | changes))


def machine(tier: TierSpec | None = None, /, *, seed: Any = 0, **changes: Any) -> Hardware:
    device = make_device({"hbm": tier or flash(**changes)})
    return Hardware("test", device, VirtualClock(), Trace(), None, rng=Rng(seed))


def end_ns(hardware: Hardware, demand: Demand, at_ns: int = 0) -> int:
    launch = hardware.launch(Work("w", (demand,)), at_ns)
    assert not launch.num_open, "an end is certain when its read joins"
    return launch.due_ns


def reads(*pages: int, size: int = PAGE, in_flight: int | None = None) -> Demand:
    """One read each, at these pages."""
    return Demand("hbm.read", size * len(pages), len(pages), in_flight, pages)


def stretch(start: int, num: int, in_flight: int | None = None) -> Demand:
    """One read of neighbouring pages."""
    return Demand("hbm.read", num * PAGE, 1, in_flight, (start,))


def writes(*pages: int, size: int = PAGE) -> Demand:
    return Demand("hbm.write", size * len(pages), len(pages), None, pages)
