"""From a device's specification to its resources, by the names that declared work uses.

<engine>.<dtype>             operations; the main engine is "compute"
<tier>.read, <tier>.write    bytes
<tier>.bus                   bytes to the outside, of a tier that has a bus (`bus`)
<tier>.erase                 pages, of a tier with banks and a file behind it
<resource>                   units of its own
scalar                       operations of general-purpose cores, which every machine has
"""

from collections.abc import Mapping

from configs.schema.device import MAIN_ENGINE, DeviceSpec, ResourceSpec, Sharing, TierSpec
from workers.hardware.flows import FairPlaces, FairShare
from workers.hardware.resource import Resource
from workers.hardware.sharing.banked.array import Array
from workers.hardware.sharing.banked.erases import Erases
from workers.hardware.sharing.banked.reads import Reads
from workers.hardware.sharing.banked.writes import Writes
from workers.hardware.sharing.base import Shared
from workers.hardware.sharing.depth import BesideServers, Depth, InOrder, binds
from workers.hardware.sharing.fair import GRAINS, grains
from workers.hardware.sharing.in_order import Fifo, Servers
from workers.hardware.taken import Taken
from workers.hardware.work import Work
from workers.host.clock.base import Clock
from workers.host.rng import Rng

# What text and bookkeeping need: integer operations, no matrices.
SCALAR = "scalar"
# Of a machine that says nothing of its host. Assumed: 8 cores x 2 GHz x 2 operations a cycle.
SOME_CORES = ResourceSpec(rate_per_s=32e9, servers=8)


def resources_of(spec: DeviceSpec, clock: Clock, rng: Rng, node: str) -> dict[str, Resource]:
    """Every resource of a machine, idle. `rng` and `node`: of what a tier with banks draws."""
    clock = clock.of_devices
    resources = dict(
        _engine(
            MAIN_ENGINE, spec.compute, spec.compute_efficiency, spec.flop_pj,
            spec.compute_sharing, clock,
        )
    )  # fmt: skip
    for name, engine in spec.engines.items():
        resources |= _engine(
            name, engine.compute, engine.compute_efficiency, engine.flop_pj, engine.sharing, clock
        )
    for name, tier in spec.tiers.items():
        if tier.banks is None:
            resources |= _tier(name, tier, clock)
        else:
            resources |= _banked(name, tier, Array(tier, rng, f"{node}.{name}"))
        if tier.bus_bytes_per_s is not None:
            resources[f"{name}.bus"] = Resource(
                _shared(tier.sharing, clock),
                tier.bus_bytes_per_s,
                unit_joules=tier.bus_pj_per_bit * 8e-12,
            )
    for name, other in {SCALAR: SOME_CORES, **spec.resources}.items():
        resources[name] = _other(other, clock)
    return resources


def host_size(work: Work) -> int:
    """Scalar operations that it takes of the machine that emulates."""
    declared = sum(demand.amount for demand in work.demands if demand.resource == SCALAR)
    return max(declared, work.host_size)


def _engine(
    name: str,
    rates: Mapping[str, int],
    efficiency: float,
    flop_pj: float,
    sharing: Sharing,
    clock: Clock,
) -> dict[str, Resource]:
    """Units of different dtypes work beside each other."""
    return {
        f"{name}.{dtype}": Resource(
            _shared(sharing, clock), rate * efficiency, unit_joules=flop_pj * 1e-12
        )
        for dtype, rate in rates.items()
    }


def _tier(name: str, spec: TierSpec, clock: Clock) -> dict[str, Resource]:
    reading = _shared(spec.sharing, clock)
    writing = reading if spec.shared_bus else _shared(spec.sharing, clock)
    taken = Taken()
    directions = {
        "read": (
            reading, spec.sustained_read_bytes_per_s, spec.read_latency_ns,
            spec.reads_in_flight_most, spec.read_pj_per_bit + spec.buffer_pj_per_bit,
        ),
        "write": (
            writing, spec.sustained_write_bytes_per_s, spec.write_latency_ns,
            spec.queue_depth, spec.write_pj_per_bit,
        ),
    }  # fmt: skip
    return {
        f"{name}.{direction}": Resource(
            shared,
            bytes_per_s,
            page=spec.page_bytes,
            latency_ns=latency_ns,
            depth=_depth(shared, depth, grains(spec.page_bytes, bytes_per_s), latency_ns, clock),
            unit_joules=pj_per_bit * 8e-12,
            taken=taken if spec.shared_bus else None,
        )
        for direction, (shared, bytes_per_s, latency_ns, depth, pj_per_bit) in directions.items()
    }


def _banked(name: str, spec: TierSpec, array: Array) -> dict[str, Resource]:
    reads, writes, erases = Reads(array), Writes(array), Erases(array)
    taken = Taken() if spec.shared_bus else None
    erase = {f"{name}.erase": Resource(erases, erases.rate_per_s, banked=erases)}
    return (erase if spec.file else {}) | {
        f"{name}.read": Resource(reads, spec.sustained_read_bytes_per_s, banked=reads, taken=taken),
        f"{name}.write": Resource(
            writes, spec.sustained_write_bytes_per_s, banked=writes, taken=taken
        ),
    }


def _other(spec: ResourceSpec, clock: Clock) -> Resource:
    shared: Shared = Servers(spec.servers) if spec.servers > 1 else _shared(spec.sharing, clock)
    return Resource(
        shared,
        spec.rate_per_s,
        page=spec.page,
        latency_ns=spec.latency_ns,
        depth=_depth(
            shared, spec.queue_depth, grains(spec.page, spec.rate_per_s), spec.latency_ns, clock
        ),
        unit_joules=spec.unit_pj * 1e-12,
    )


def _depth(
    shared: Shared, depth: int | None, turn: int, latency_ns: int, clock: Clock
) -> Depth | None:
    """The places of a queue, where they are too few to hide the latency."""
    if depth is None:
        return None
    if isinstance(shared, Servers):
        # Each takes that much longer over a page, and they hide a latency together.
        hidden_ns = latency_ns + (shared.num - 1) * turn // GRAINS
        if not binds(depth, turn, hidden_ns):
            return None
        return BesideServers(depth, shared.num, turn, latency_ns)
    if not binds(depth, turn, latency_ns):
        return None
    if isinstance(shared, Fifo):
        return InOrder(shared, depth, turn, latency_ns)
    return FairPlaces(clock, depth, turn, latency_ns)


def _shared(sharing: Sharing, clock: Clock) -> Fifo | FairShare:
    return FairShare(clock) if sharing == "fair" else Fifo()
