"""The part `overload-local`: ten times what a cluster can answer, over HTTP, in real processes.

The cluster of the part `overload`, in the local world: its emulated hardware sets what it can
answer, and the dilation is such that the machine is not what is short. Its peak is what 64 users
get who ask again as soon as they are answered. Then requests come by themselves, first as many as
the peak, then ten times as many.

Expected before the first run: as in virtual time, but for what a wall clock adds to each message:
goodput 0.95 to 1.0 of the peak, nobody late but a few per cent, 9 of 10 refused, each told when to
come back; the processors less than 70 % busy at the peak, and a process's memory at the end within
a tenth of what it was in the middle: whoever is refused leaves nothing.

What came out: all of that at the first run, but 0.29 of two processors were busy at a dilation of
3,000, where 117 requests a second were more than the users' own process could send: a thousand came
late. So the demo's own dilation, and the rate at which they came is a row.
"""

import asyncio
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass

import psutil

from benchmarks.chaos.crowd import Crowd, Heard
from benchmarks.chaos.leaks import Held, growth, held
from benchmarks.chaos.overload import CLUSTER, DEADLINE_NS, TIMES, USERS, steady
from benchmarks.rows import Row
from cluster.gateway.settings import GatewaySettings
from cluster.worlds.blueprint import Blueprint
from cluster.worlds.local import LocalWorld, local_world
from configs.schema import load_scenario

DILATION = 6000
CLOSED, CALM_S, OVER_S = 320, 20.0, 120.0
DEADLINE_S = DEADLINE_NS / 1e9
EVIDENCE = f"measured: local world over HTTP, the demo's cluster with digests, dilation {DILATION}"
BUSY_MAX, GROWTH_MAX = 0.7, 1.1
# By so much fewer than meant may come, by chance and by users that are slow.
ASKED_OFF = 0.05


@dataclass
class Came:
    """What came of it. `busy`: share of all processors that this cluster and its users took."""

    peak_per_s: float
    busy: float
    over: Heard
    over_per_s: float
    asked_per_s: float
    over_s: float
    middle: Held
    end: Held


def overload(over_s: float = OVER_S) -> Came:
    """So many seconds of ten times too much."""
    scenario = {**CLUSTER, "cluster.world": "local", "cluster.dilation": DILATION}
    with local_world(Blueprint.draw(load_scenario("demo", scenario))) as world:
        url = world.ask_gateway("serve_http", "127.0.0.1", 0, GatewaySettings())
        return asyncio.run(_crowds(world, url, over_s))


async def _crowds(world: LocalWorld, url: str, over_s: float) -> Came:
    crowd = Crowd(url)
    try:
        cpu_s = _cpu_s(world)
        heard, took_s = await crowd.closed(USERS, CLOSED)
        busy = (_cpu_s(world) - cpu_s) / took_s / (os.cpu_count() or 1)
        peak = steady(heard.good_s)
        await crowd.open(peak, CALM_S, DEADLINE_S, seed=1)
        begun_s, middle = time.monotonic(), list[Held]()
        looking = asyncio.create_task(_look(world, over_s / 2, middle))
        over = await crowd.open(peak * TIMES, over_s, DEADLINE_S, seed=2)
        await looking
        ends_s = begun_s + over_s
        good, asked = over.good_between(begun_s, ends_s), over.begun_between(begun_s, ends_s)
        rates, end = (good / over_s, asked / over_s), held(world, over_s)
        return Came(peak, busy, over, *rates, over_s, middle[0], end)
    finally:
        await crowd.close()


async def _look(world: LocalWorld, after_s: float, found: list[Held]) -> None:
    await asyncio.sleep(after_s)
    found.append(await asyncio.to_thread(held, world, after_s))


def _cpu_s(world: LocalWorld) -> float:
    """Processor time so far of all nodes and of this process."""
    pids = {os.getpid(), *world.ask_all("pid").values()}
    times = [psutil.Process(pid).cpu_times() for pid in pids]
    return sum(each.user + each.system for each in times)


def rows_of(came: Came) -> Iterable[Row]:
    """One for each bar."""
    over, share = came.over, came.over_per_s / came.peak_per_s
    where = f"{EVIDENCE}, {TIMES}x the peak for {came.over_s:.0f} s"
    peak, busy = came.peak_per_s, came.busy
    yield Row("peak over HTTP, 64 users", peak, "answers/s", "-", peak > 0, EVIDENCE)
    yield Row(
        "processors at the peak", busy, "busy with it", f"<= {BUSY_MAX}", busy <= BUSY_MAX, EVIDENCE
    )
    times = came.asked_per_s / peak
    few = TIMES * (1 - ASKED_OFF)
    yield Row("requests came", times, "x the peak", f">= {few:g}", times >= few, where)
    yield Row("goodput", share, "of the peak", ">= 0.90", share >= 0.9, where)
    grown = growth(came.middle.memory_bytes, came.end.memory_bytes)
    yield Row(
        "memory of a process, from the middle to the end", grown, "x", f"<= {GROWTH_MAX}",
        grown <= GROWTH_MAX, where,
    )  # fmt: skip
    told = sum(after_s is not None and 1 <= after_s <= 60 for after_s in over.refused)
    name = f"refusals of {len(over.refused):,} that say when to come back"
    all_told = told == len(over.refused) > 0
    yield Row(name, told / max(1, len(over.refused)), "", "1", all_told, where)
    late = over.num_late / max(1, over.num_late + len(over.good_s))
    yield Row("let in, and late", late, "of those let in", "-", True, where)
    said = "; ".join(dict.fromkeys(over.other))
    yield Row("anything else", len(over.other), "", "0", not over.other, f"{where} {said:.300}")


def rows() -> Iterable[Row]:
    """The short form."""
    return rows_of(overload())
