"""The part `local`: real processes that are killed, stopped and cut off while eight clients read.

The demo's nodes with two prefill chips, two expert shards and a spare (so one replica of each
shard), nothing emulated. Every 5 s, or when the one before is undone, a fault of a drawn kind hits
a drawn node; a killed one is brought back, so at most one is down at a time.

Expected before the first run: every request ends; at least 95 % finish; what finishes is the
reference's text; memory and open files of an incarnation that lives long do not grow by more than a
fifth, and when the cluster has ended nothing of it is left.

What came out on two busy cores in 302 s: 52 faults, 1,409 requests, all of them finished as the
reference says, 56 after a break; a killed node was away 2 to 13 s. Memory grew to 1.35 of what it
was: decode chips wrote for the first time to blocks of 4,096. Hence fewer.
"""

import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from benchmarks.chaos.leaks import Held, children, growth, held, left_over, shared_files
from benchmarks.chaos.real_faults import EVERY_S, RealFaults
from benchmarks.chaos.streams import DEADLINE_S, STREAMS, Tally, asking
from benchmarks.footprint import free_port
from benchmarks.rows import Row
from cluster.gateway.settings import GatewaySettings
from cluster.worlds.blueprint import Blueprint
from cluster.worlds.local import LocalWorld, local_world
from configs.schema import load_scenario

SHORT_S, SHARE_MIN, GROWTH_MAX = 120.0, 0.95, 1.2
# Blocks are pages that the machine gives when they are first written to, and a chip takes those
# that never were before others: with few, all have been within a minute.
NUM_KV_BLOCKS = 256
CLUSTER: dict[str, Any] = {
    "model.num_kv_blocks": NUM_KV_BLOCKS,
    "cluster.world": "local",
    "cluster.emulation": False,
    "cluster.dilation": 1,
    "cluster.nodes.prefill.count": 2,
    "cluster.nodes.experts.count": 2,
    "cluster.nodes.experts.spares": 1,
    "placement.collections": None,
    "workload.prompts.questions.retrieval": None,
    "slo.deadline": f"{DEADLINE_S} s",
}
EVIDENCE = "measured: local world, nothing emulated"
# Until nothing is held any more, when nobody asks.
QUIET_S = 60.0


@dataclass
class Came:
    """What came of one part of the soak. `struck`: what and whom -> how often."""

    seconds: float = 0.0
    tally: Tally = field(default_factory=Tally)
    struck: dict[str, int] = field(default_factory=dict)
    away_s: list[float] = field(default_factory=list)
    growth: dict[str, float] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


def _say(what: str) -> None:
    print(f"    {time.strftime('%H:%M:%S', time.gmtime())} {what}", file=sys.stderr, flush=True)


def soak(seconds: float, seed: int) -> Came:
    """So long, with the faults of that seed."""
    came, children_before, shared_before = Came(), children(), shared_files()
    with local_world(Blueprint.draw(load_scenario("demo", CLUSTER))) as world:
        folder, port = world.folder, free_port()
        world.ask_gateway("serve_http", "127.0.0.1", port, GatewaySettings())
        faults = RealFaults(world, port, seed, _say)
        begun_s, samples = time.monotonic(), list[Held]()
        with asking(lambda: faults.url, came.tally, seed):
            while (at_s := time.monotonic() - begun_s) < seconds:
                samples.append(held(world, at_s))
                came.problems += _failures(world)
                faults.strike()
                left_s = EVERY_S - (time.monotonic() - begun_s - at_s)
                time.sleep(max(0.0, left_s))
        came.seconds = time.monotonic() - begun_s
        came.struck, came.away_s = dict(faults.struck), faults.away_s
        came.growth = _growth([*samples, held(world, came.seconds)])
        came.problems += [*_failures(world), *_held(world)]
    came.left = left_over(folder, shared_before, children_before)
    return came


def _failures(world: LocalWorld) -> list[str]:
    told = world.ask_all("failures")
    return sorted({f"{node}: {what}" for node, failures in told.items() for what in failures})


def _held(world: LocalWorld) -> list[str]:
    """What the cluster still holds for requests when it has had time to let go."""
    ends_s, found = time.monotonic() + QUIET_S, dict[str, int]()
    while time.monotonic() < ends_s:
        found = {what: n for what, n in world.ask_gateway("held").items() if n}
        if not found:
            return []
        time.sleep(0.5)
    return [f"held when nobody asks: {found}"]


def _growth(samples: list[Held]) -> dict[str, float]:
    """From a minute's age on, at which every cache has met every prompt; or from the middle."""
    settled = [one for one in samples if one.at_s >= min(60.0, samples[-1].at_s / 2)]
    grown = {"memory": 1.0, "files": 1.0}
    for one in settled:
        grown["memory"] = max(grown["memory"], growth(one.memory_bytes, samples[-1].memory_bytes))
        grown["files"] = max(grown["files"], growth(one.files, samples[-1].files))
    return grown


def rows_of(came: Came) -> Iterable[Row]:
    """One for each bar."""
    tally, struck = came.tally, sum(came.struck.values())
    what = ", ".join(f"{n} {kind}" for kind, n in sorted(came.struck.items()))
    where = f"{EVIDENCE}, {came.seconds:.0f} s, {STREAMS} streams, {struck} faults"
    all_ended = not tally.never_ended and tally.num_ended == tally.num_begun
    name, unit = "requests that never ended", f"of {tally.num_begun}"
    yield Row(name, len(tally.never_ended), unit, "0", all_ended, f"{where}: {what}")

    share = tally.num_finished / max(1, tally.num_begun)
    codes = ", ".join(f"{n} {code}" for code, n in tally.errors.most_common()) or "no error"
    again = f"{tally.num_resumed} went on after a break, {tally.num_refused} refusals"
    bar, evidence = f">= {SHARE_MIN}", f"{where}; {codes}; {again}; {_lasted(came)}"
    yield Row("finished", share, "", bar, share >= SHARE_MIN, evidence)

    is_right = not tally.wrong and tally.num_finished > 0
    name, unit = "finished and not the reference's", f"of {tally.num_finished}"
    yield Row(name, len(tally.wrong), unit, "0", is_right, _and(where, tally.wrong[:2]))
    for kind, factor in came.growth.items():
        name, bar = f"growth of an incarnation: {kind}", f"<= {GROWTH_MAX}"
        yield Row(name, factor, "x", bar, factor <= GROWTH_MAX, where)
    for name, found in (
        ("errors that nobody expected, and what was still held", came.problems),
        ("left of it when it had ended: files, names, processes", came.left),
    ):
        problems = [*dict.fromkeys(found)]
        yield Row(name, len(problems), "", "0", not problems, _and(where, problems))


def _and(where: str, found: list[str]) -> str:
    return f"{where}; {'; '.join(found):.400}" if found else where


def _lasted(came: Came) -> str:
    lasted_s = sorted(came.tally.lasted_s)
    if not lasted_s:
        return "none lasted"
    median, most = lasted_s[len(lasted_s) // 2], lasted_s[-1]
    away = f", a killed node was away {max(came.away_s):.1f} s at most" if came.away_s else ""
    return f"a request took {median:.2f} s, {most:.1f} s at most{away}"


def rows() -> Iterable[Row]:
    """The short form."""
    return rows_of(soak(SHORT_S, seed=1))
