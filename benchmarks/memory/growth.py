"""A store that grows by one passage at a time, 20,000 times, through the router of a whole cluster
in the virtual world: what each addition costs, early and late.

Expected, before the first run: a passage of 60 characters is a record of 4.2 KB in one memory
server's log (1,024 values), written as it comes and once more when its segment of 16 MiB is full:
4,000 passages, of which each of two servers gets 10,000, so both merge two segments. The first
2,000 additions see no merge and so do the last, whose servers are between 9,000 and 10,000: 1.00.
All 20,000 cost (20,000 + 16,000) / 20,000 = 1.8 times ten times the first 2,000. The journal has
700 bytes an addition, and its state, 250 bytes a file, is written anew whenever events have
outgrown it, every 4 MiB at the least, 6,000 additions: so its bar is that of all 20,000, twice the
events at the most. Emulated time an addition is a message's and a page's: 1.0. With an index
(IVF-PQ, 1,100 cards in each server to begin with) a server's 9,984th passage trains it, which reads
what it learns from ten times: 20 times all vectors; that is in the last 2,000 or just before.
Trained when twice as much is there, it costs each passage the same however long the store grows: a
fixed multiple, but not in every window.

A first look at 4,000 showed that the router counted a store's files for each answer, which was
quadratic in wall time: it keeps the counts since. The first run gave 1.00 and 1.79, 1.38 for the
journal, and 1.00 for emulated time; both trainings fell between 16,000 and 18,000.
"""

import time
from dataclasses import dataclass, field
from typing import Any

from benchmarks.laws._checks import workers_of
from benchmarks.rows import Row
from cluster.gateway.store_client import Document
from cluster.worlds.blueprint import Blueprint
from cluster.worlds.virtual import VirtualWorld, run_virtual
from configs.schema import load_scenario
from workers.memory.memory_server import MemoryServer
from workers.memory.shard_records import scan

NUM_PASSAGES, WINDOW = 20_000, 2_000
LINEAR_BAR, ALL_BAR = 1.5, 3.0
QUIET = {
    "cluster.router_journal": True,
    "placement.kv_pool": False,
    "workload.prompts.questions.retrieval": None,
}


@dataclass(slots=True)
class Costs:
    """Of each WINDOW additions, in order."""

    disk: dict[str, list[int]] = field(default_factory=lambda: {"servers": [], "router": []})
    emulated_ns: list[int] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)
    tier_bytes: list[int] = field(default_factory=list)
    segments: list[int] = field(default_factory=list)  # of each server, at the end
    records: int = 0


class Counter:
    """Bytes that are written to a node's disk, or asked of its tiers."""

    def __init__(self) -> None:
        self.num_bytes = self._before = 0

    def since(self) -> int:
        """Since it was asked the last time."""
        more, self._before = self.num_bytes - self._before, self.num_bytes
        return more

    def watch_disk(self, disk: Any) -> None:
        for method in ("write", "append"):
            setattr(disk, method, self._counted(getattr(disk, method)))

    def _counted(self, method: Any) -> Any:
        def write(name: str, data: bytes) -> None:
            self.num_bytes += len(data)
            method(name, data)

        return write

    def watch_tiers(self, hardware: Any) -> None:
        launch = hardware.launch

        def counted(work: Any, *when_and_why: Any) -> Any:
            for demand in work.demands:
                if demand.resource.endswith((".read", ".write")):
                    self.num_bytes += demand.amount
            return launch(work, *when_and_why)

        hardware.launch = counted


async def grow(world: VirtualWorld, store: str, num_passages: int) -> Costs:
    servers = workers_of(world, MemoryServer)
    nodes = {name: server._node for name, server in servers.items()}
    counters = {"servers": Counter(), "router": Counter()}
    tiers = Counter()
    for node in nodes.values():
        counters["servers"].watch_disk(node.disk)
        tiers.watch_tiers(node.hardware)
    counters["router"].watch_disk(world.nodes["router"].disk)
    costs = Costs()
    for start in range(0, num_passages, WINDOW):
        began_ns, began_s = world.clock.now(), time.process_time()
        for number in range(start, start + WINDOW):
            text = f"Card {number}: the keepers weigh {number * 104729 % 99991} grams."
            one = Document(f"f{number}", f"f{number}.txt", text)
            await world.client.add_documents(store, [one])
        costs.emulated_ns.append(world.clock.now() - began_ns)
        costs.cpu_s.append(time.process_time() - began_s)
        costs.tier_bytes.append(tiers.since())
        for who, counter in counters.items():
            costs.disk[who].append(counter.since())
    for node in nodes.values():
        names = [name for name in node.disk.names() if "/segment-" in name and f"/{store}/" in name]
        costs.segments.append(len(names))
        costs.records += sum(1 for name in names for _ in scan(node.disk.read(name)))
    return costs


def measured(index: str, num_passages: int = NUM_PASSAGES) -> Costs:
    cards = {"path": "perfuse-tiny corpus", "index": index}
    scenario = load_scenario("demo", {**QUIET, "placement.collections": {"cards": cards}})
    return run_virtual(Blueprint.draw(scenario), lambda world: grow(world, "cards", num_passages))


def window_row(name: str, costs: list[int], unit: str, how: str) -> Row:
    ratio = costs[-1] / costs[0]
    each = f"{costs[0] / WINDOW:,.0f} and {costs[-1] / WINDOW:,.0f} {unit} an addition"
    return Row(f"{name}: the last {WINDOW:,} beside the first", ratio, "x", f"<= {LINEAR_BAR} x",
               ratio <= LINEAR_BAR, f"measured: {how}: {each}")  # fmt: skip


def all_row(name: str, costs: list[int], how: str) -> Row:
    ratio = sum(costs) / (len(costs) * costs[0])
    return Row(f"{name}: all beside as many as the first {WINDOW:,}", ratio, "x",
               f"<= {ALL_BAR:g} x", ratio <= ALL_BAR, f"measured: {how}")  # fmt: skip


def rows_of(index: str) -> list[Row]:
    costs = measured(index)
    count = len(costs.emulated_ns) * WINDOW
    what = f"{count:,} additions of one passage, {index}"
    logs, journal = costs.disk["servers"], costs.disk["router"]
    where = "a whole cluster in the virtual world, two memory servers, counted"
    cpu = costs.cpu_s[-1] / costs.cpu_s[0]
    segments = max(costs.segments)
    found = [
        all_row(f"{what}: bytes on the servers' disks", logs, f"{where}, merges included"),
        all_row(f"{what}: bytes of the journal", journal, f"{where}, states included"),
        window_row(f"{what}: emulated time", costs.emulated_ns, "ns", where),
        Row(f"{what}: segments of a server at the end", segments, "", "<= 16", segments <= 16,
            f"measured: {costs.records:,} records are read at a restart, both servers together"),
        Row(f"{what}: processor time, the last {WINDOW:,} beside the first", cpu, "x", "shown only",
            True, f"measured: {costs.cpu_s[0]:.1f} and {costs.cpu_s[-1]:.1f} s here"),
    ]  # fmt: skip
    if index == "exact":
        found.insert(0, window_row(f"{what}: bytes on the servers' disks", logs, "bytes", where))
        found.append(window_row(f"{what}: bytes of the tiers", costs.tier_bytes, "bytes", where))
    else:
        each = sum(costs.tier_bytes) / count
        listed = ", ".join(f"{one / WINDOW / 1e3:,.0f}" for one in costs.tier_bytes)
        found.append(
            Row(f"{what}: bytes of the tiers", each / 1e3, "kB an addition", "shown only", True,
                f"measured: trainings included, of each {WINDOW:,} in turn: {listed} kB")
        )  # fmt: skip
    return found


def run() -> list[Row]:
    return [row for index in ("exact", "ivf_pq") for row in rows_of(index)]
