"""What a node's parts did so far, and whether it adds up: times, and what tiers moved. Pure.

Two hands keep a resource's time: whoever shares it says how long it worked, and its demands say how
long it was asked for, and how much. Nothing works unasked, nothing is asked for longer than time
passed, and what was moved takes the time that was worked.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from configs.schema.device import DeviceSpec
from configs.schema.tier import TierSpec
from workers.hardware import latencies
from workers.hardware.resource import Resource
from workers.hardware.sharing.banked.reads import Reads
from workers.hardware.taken import Taken

# Of rates that are no whole numbers; what is lost or counted twice is seldom so little.
RELATIVE_ERROR_MAX = 1e-6
Counts = dict[str, int]


@dataclass(frozen=True, slots=True)
class Usage:
    """Of one incarnation of a node, since it stands, or between two looks. ns of emulated time.

    busy_ns    resource -> how long it moved or computed
    taken_ns   resource -> how long it was asked for: busy, or waited for
    tiers      tier -> "asked_read_bytes", "read_bytes", "asked_write_bytes", "written_bytes": as
               they were asked for, and in whole pages; with banks also "pages_sensed" (retries
               among them), "page_cache_hits", "retries", "refreshes", "pages_programmed" (those of
               refreshes among them, as in "written_bytes")
    latencies  "<tier>.read" or ".write" of a tier with banks -> how long its pages took, as a
               histogram (`workers.hardware.latencies`)
    """

    span_ns: int
    busy_ns: Mapping[str, int]
    taken_ns: Mapping[str, int]
    tiers: Mapping[str, Counts]
    latencies: Mapping[str, Mapping[int, int]]

    def states(self, resource: str) -> Counts:
        """ "busy_ns", "waiting_ns", "idle_ns": they add up to the span."""
        busy_ns, taken_ns = self.busy_ns[resource], self.taken_ns[resource]
        waiting_ns, idle_ns = taken_ns - busy_ns, self.span_ns - taken_ns
        return {"busy_ns": busy_ns, "waiting_ns": waiting_ns, "idle_ns": idle_ns}


def usage_of(
    spec: DeviceSpec,
    resources: Mapping[str, Resource],
    begin_ns: int,
    now_ns: int,
    links_busy_ns: dict[str, int],
) -> Usage:
    """Of a machine that stands since `begin_ns`, and of its links. Nobody waits for a link: its
    latency takes nobody's time, and whoever asks is on it at once or behind others.
    """
    return Usage(
        now_ns - begin_ns,
        {name: known.busy_ns(now_ns) for name, known in resources.items()} | links_busy_ns,
        {name: known.taken.taken_ns(now_ns) for name, known in resources.items()} | links_busy_ns,
        tier_counts(spec.tiers, resources),
        {
            name: dict(known.latencies.counts)
            for name, known in resources.items()
            if known.latencies is not None
        },
    )


def tier_counts(
    tiers: Mapping[str, TierSpec], resources: Mapping[str, Resource]
) -> dict[str, Counts]:
    """Of each tier of a machine, so far."""
    found: dict[str, Counts] = {}
    for name, tier in tiers.items():
        reads, writes = resources[f"{name}.read"], resources[f"{name}.write"]
        counts = {
            "asked_read_bytes": reads.asked,
            "read_bytes": reads.moved,
            "asked_write_bytes": writes.asked,
            "written_bytes": writes.moved,
        }
        if isinstance(reads.banked, Reads):
            refreshed = reads.banked.num_refreshed
            counts["written_bytes"] += refreshed * tier.page_bytes
            counts |= reads.banked.counts()
            counts["pages_programmed"] = counts["written_bytes"] // tier.page_bytes
        found[name] = counts
    return found


def problems(usage: Usage) -> Iterator[str]:
    """Resources whose times cannot be, in words."""
    for name in usage.busy_ns:
        for state, ns in usage.states(name).items():
            if ns < 0:
                told = f"busy {usage.busy_ns[name]} ns, asked for {usage.taken_ns[name]} ns"
                yield f"{name}: {state} is {ns}: {told}, in a span of {usage.span_ns} ns"


def work_problems(resources: Mapping[str, Resource], now_ns: int) -> Iterator[str]:
    """Resources that did not work as long as what they moved takes, of those that nobody asks for
    now. Tiers with banks are left out: they round each page's turn.
    """
    together: dict[Taken, list[str]] = {}
    for name, resource in resources.items():
        if resource.banked is None and not resource.taken.is_asked(now_ns):
            together.setdefault(resource.taken, []).append(name)
    for names in together.values():
        needed = [resources[name].work_ns() for name in names]
        work_ns, slack_ns = (sum(each) for each in zip(*needed, strict=True))
        busy_ns = resources[names[0]].busy_ns(now_ns)
        if abs(busy_ns - work_ns) > slack_ns + work_ns * RELATIVE_ERROR_MAX:
            yield (
                f"{' and '.join(names)}: busy {busy_ns} ns, and what was moved takes {work_ns} ns"
            )


def more(before: Usage | None, after: Usage) -> Usage:
    """What came between two looks; of an incarnation that began meanwhile, all of it."""
    if before is None or before.span_ns > after.span_ns:
        return after
    return Usage(
        after.span_ns - before.span_ns,
        _more(before.busy_ns, after.busy_ns),
        _more(before.taken_ns, after.taken_ns),
        {tier: _more(before.tiers.get(tier, {}), counts) for tier, counts in after.tiers.items()},
        {
            way: latencies.more(before.latencies.get(way, {}), counts)
            for way, counts in after.latencies.items()
        },
    )


def _more(before: Mapping[str, int], after: Mapping[str, int]) -> Counts:
    return {name: value - before.get(name, 0) for name, value in after.items()}
