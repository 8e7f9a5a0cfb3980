"""Adversarial scenarios from a seed: what goes wrong on which links and when, and who leaves."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

from workers.wire.message import Message
from workers.wire.rules import Drop, Pass, Verdict

DEADLINE_NS = 2_000_000
# Short against a deadline, about one, and ten: None is for good.
CUTS_NS = (200_000, 3_000_000, 10 * DEADLINE_NS, None)
LATEST_NS = 10 * DEADLINE_NS
NUM_REQUESTS = 6
# So many calls between a call and its copy, where a scenario has chatter: beyond the 4,096 that a
# memory bounded by count once had.
NUM_CHATTER = 4_500
NODES = ("gateway", "router", "prefill-0", "decode-0", "experts-0", "experts-1", "hbf-0", "pnm-0")
PAIRS = tuple(combinations(NODES, 2))
# Those that talk: every other cut is between two of these.
TALKERS = tuple(pair for pair in PAIRS if {"router"} & {*pair} or {"decode-0"} & {*pair})
# What a life of requests and stores is made of: links are cut at the first of each, calls of each
# are late, twice or out of order. In the order in which they come.
POINTS = (
    "submit", "search", "hits", "accepted", "reserve", "reserved", "prefill", "generate",
    "pool_get", "pool_blocks", "dispatch", "combine", "kv_blocks", "start", "tokens", "outputs",
    "reply", "pool_put", "pool_stored", "store_create", "shard_create", "store", "store_add",
    "shard_add", "shard_size", "shard_take_back", "store_delete", "shard_delete", "shard_deleted",
    "cancel", "cancelled", "abort", "aborted", "chip_state",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Cut:
    """Nothing passes between two nodes, from the first message of a kind that anybody sends."""

    pair: tuple[str, str]
    at_kind: str
    duration_ns: int | None


@dataclass(frozen=True, slots=True)
class Adversary:
    """One scenario: all that it does follows from its seed.

    faults    rules of a scenario file        chatter   calls between router and chips meanwhile
    leaves    request -> tokens after which its reader goes
    killed    (node, when) that dies and comes back, or None
    curved    links of chips and shards cost something each message and segment
    """

    seed: int
    colocated: bool
    kv_pool: bool
    faults: tuple[dict[str, Any], ...]
    cuts: tuple[Cut, ...]
    leaves: dict[int, int] = field(default_factory=dict)
    killed: tuple[str, int] | None = None
    chatter: bool = False
    curved: bool = False

    @property
    def is_finite(self) -> bool:
        """Whether every message arrives in time, if it is said often enough."""
        heals = all(cut.duration_ns is not None for cut in self.cuts)
        return heals and all("duration" in f or f["toxicity"] < 1 for f in self.faults)


def adversary(seed: int) -> Adversary:
    """Seeds in turn cut each pair, and are late with each kind."""
    chance = random.Random(f"adversary {seed}")
    turn, point = seed // 2, POINTS[seed // 2 % len(POINTS)]
    cuts: list[Cut] = []
    faults: list[dict[str, Any]] = []
    if seed % 2 == 0:
        pairs = PAIRS if turn % 2 else TALKERS
        cuts.append(_cut(chance, pairs[turn // 2 % len(pairs)]))
    else:
        faults.append(_fault(chance, point))
    if chance.random() < 0.2:
        cuts.append(_cut(chance, chance.choice(TALKERS)))
    faults += [_fault(chance, chance.choice(POINTS)) for _ in range(seed % 3)]
    leaves = {i: chance.randrange(4) for i in range(NUM_REQUESTS) if chance.random() < 0.2}
    killed = None
    if chance.random() < 0.1:
        killed = NODES[1 + chance.randrange(len(NODES) - 1)], chance.randrange(600_000)
    return Adversary(
        seed,
        chance.random() < 0.2,
        chance.random() < 0.5,
        tuple(faults),
        tuple(cuts),
        leaves,
        killed,
        chatter=seed % 10 == 1,
        curved=seed % 5 == 2,
    )


def _cut(chance: random.Random, pair: tuple[str, str]) -> Cut:
    return Cut(pair, chance.choice(POINTS), chance.choice(CUTS_NS))


def _fault(chance: random.Random, kind: str) -> dict[str, Any]:
    """Late, twice, or out of order; some of a kind, or all."""
    late_ns = round(10_000 * (LATEST_NS / 10_000) ** chance.random())
    fault: dict[str, Any] = {"kind": kind, "toxicity": chance.choice((0.1, 0.5, 1.0))}
    if chance.random() < 0.5:
        fault["duration"] = f"{chance.randrange(50, 2_000)} us"
    what = chance.choice(("late", "twice", "out of order", "lost"))
    if what == "twice":
        return {**fault, "type": "duplicate", "attributes": {"delay": f"{late_ns} ns"}}
    if what == "lost":
        return {**fault, "type": "drop", "toxicity": min(fault["toxicity"], 0.5)}
    attributes = {"latency": f"{late_ns} ns"}
    if what == "out of order":
        attributes["jitter"] = f"{late_ns} ns"
    return {**fault, "type": "latency", "attributes": attributes}


class CutRule:
    """A rule for the endpoints of all nodes; one object, so that all know when it began."""

    def __init__(self, cut: Cut) -> None:
        self._cut, self.begun_ns = cut, -1

    def judge(self, source: str, destination: str, message: Message[Any]) -> Verdict:
        cut = self._cut
        if self.begun_ns < 0:
            if message.kind != cut.at_kind:
                return Pass()
            self.begun_ns = message.sent_ns
        over = cut.duration_ns is not None and message.sent_ns >= self.begun_ns + cut.duration_ns
        return Pass() if over or {source, destination} != {*cut.pair} else Drop()


def adversaries(seed: int, count: int) -> Iterator[Adversary]:
    """From `seed * 1000` on."""
    for number in range(count):
        yield adversary(1_000 * seed + number)
