"""What switches do on the way: sums of ranks, copies of tokens, sums of experts; beside messages
from end to end.

Expected, written before the first run:

- An all-reduce of S bytes over n ranks by a switch, alone on one switch of `lowlat-2us` ports (a =
  2 us from end to end, B = 450 GB/s, 250 ns of the switch, which is n ports wide): a message up and
  one down, each half of a and t = (S + head) / B, the switch's time once, and the answer of 64
  bytes to each piece beside the sum: a + 250 ns + 2 t + 64 / B. A ring takes 2 (n - 1) rounds of
  a + 250 ns + t(S/n), and an answer between two. Within 1 %. Where S is small the switch is the
  quicker, n - 1 times and more; where S is large the ring moves 2 (n - 1)/n S a rank each way, both
  at once, and the switch S up and then S down: so the ring wins by 1/n. (A switch that streams
  would need S / B.)
- Qwen3-30B-A3B as digests, one chip, experts on 8 shards, 8 experts a token: a token has its
  experts on k of the 8 shards, 5.3 on average of uniform routing (8 (1 - (7/8)^8) = 5.25 with
  replacement; a little more without). Copied in the network its row goes up once: bytes on the
  chip's egress are what the formulas of the kinds say, to the byte, and (k - 1)/k of the rows are
  saved: about 80 %. The same of sums on its ingress. Tokens equal in all four runs.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.network.collectives import digests
from benchmarks.rows import Row
from cluster.network.build import Network
from cluster.network.graph import Graph
from cluster.workload.build import build_workload
from cluster.workload.driver import Driver
from cluster.worlds.blueprint import Blueprint
from cluster.worlds.virtual import VirtualWorld, run_virtual
from configs.schema import load_link, load_scenario
from configs.schema.collectives import Algorithm
from configs.schema.network import NetworkSection
from tests.workers.bench import Bench
from tests.workers.collectives.ranks import SWITCH, Ranks, names, switch_for
from workers.collectives import operations
from workers.host.trace import Delivered
from workers.wire.fabric.fabric import Fabric

LINK, SWITCH_NS = "lowlat-2us", 250
DEGREES, SIZES = (2, 4, 8, 16), (1_000, 32_000, 1_000_000, 64_000_000)
NUM_ROWS = 40
HEAD_BYTES, ANSWER_BYTES = 64 + 8 + 4 + len("tp"), 64
BAR = 0.01

MODEL, TOP_K, SHARDS = "qwen3-30b-a3b", 8, 8
ROW = 2 * 2048  # a row of bf16, and a sum
USERS, PROMPT, ANSWER, LAYERS = 8, 24, 6, 48
# The last token of an answer is computed no further.
NUM_TOKENS = USERS * (PROMPT + ANSWER - 1) * LAYERS
ENVELOPE, IDENTITY = 64, 12
WAYS: Mapping[str, tuple[str, ...]] = {
    "direct": (),
    "copied": ("dispatch",),
    "added": ("combine",),
    "both": ("dispatch", "combine"),
}


def took_ns(algorithm: Algorithm, num_ranks: int, size: int) -> int:
    """An all-reduce alone on its network."""
    section = NetworkSection(type="switch", switch_latency_ns=SWITCH_NS)
    ports = dict.fromkeys((*names(num_ranks), SWITCH), "switch")
    laid = Network(section, Graph(ports, {}, ("switch",), workers=frozenset({SWITCH})))
    link = load_link(LINK)
    wide = {"bytes_per_s": num_ranks * link.bytes_per_s, "latency_ns": 0}
    links = dict.fromkeys(ports, link) | {SWITCH: link.model_copy(update=wide)}

    async def job(bench: Bench) -> int:
        ranks = Ranks(bench, num_ranks, switch_for("all_reduce", algorithm))
        begin_ns, share_T = bench.clock.now(), np.arange(NUM_ROWS, dtype=np.uint64)
        begun = [await operations.all_reduce(g, algorithm, share_T) for g in ranks.groups]
        for collective in begun:
            assert np.array_equal(await collective.receive(), share_T * np.uint64(num_ranks))
        return max(collective.ready_ns for collective in begun) - begin_ns

    bench = Bench(
        *links,
        links=links,
        numerics=digests(size // NUM_ROWS),
        fabric=lambda clock: Fabric(section, laid, clock),
    )
    return bench.run(job)


def by_hand_ns(algorithm: Algorithm, num_ranks: int, size: int) -> float:
    link = load_link(LINK)

    def lane_ns(num_bytes: float) -> float:
        return num_bytes * 1e9 / link.bytes_per_s

    path_ns, answer_ns = link.startup_ns + link.latency_ns + SWITCH_NS, lane_ns(ANSWER_BYTES)
    if algorithm == "in_network":
        return path_ns + link.startup_ns + 2 * lane_ns(size + HEAD_BYTES) + answer_ns
    rounds = 2 * (num_ranks - 1)
    return rounds * (path_ns + lane_ns(size / num_ranks + HEAD_BYTES)) + (rounds - 1) * answer_ns


def all_reduce_rows() -> Iterator[Row]:
    evidence = "projection: lowlat-2us, one switch of 250 ns; emulated time beside hand arithmetic"
    for algorithm in ("in_network", "ring"):
        off = {
            (n, size): abs(took_ns(algorithm, n, size) / by_hand_ns(algorithm, n, size) - 1)
            for n in DEGREES
            for size in SIZES
        }
        worst = max(off, key=lambda case: off[case])
        yield Row(
            f"all_reduce by {algorithm} over a switch: largest difference from hand arithmetic "
            f"({worst[1]:,} bytes, {worst[0]} ranks)",
            100 * off[worst],
            "%",
            f"<= 1 % of {len(off)} runs",
            off[worst] <= BAR,
            evidence,
        )
    for size in SIZES:
        ratio = took_ns("ring", 8, size) / took_ns("in_network", 8, size)
        hand = by_hand_ns("ring", 8, size) / by_hand_ns("in_network", 8, size)
        yield Row(
            f"a ring's time over the switch's, {size:,} bytes, 8 ranks",
            ratio,
            "x",
            f"{hand:.3f} by hand, within 1 %",
            abs(ratio / hand - 1) <= BAR,
            evidence,
        )


# -- experts ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Measured:
    """One run: what crossed the chip's own link of experts, and messages by kind."""

    out_bytes: int
    in_bytes: int
    count: Counter[str]
    cost: Counter[str]
    tokens: Any
    tpot_ns: float


def measured(way: tuple[str, ...]) -> Measured:
    node = {"device": "h100-sxm", "link": LINK}
    wide = {"base": LINK, "latency": "0 ns", "bandwidth": "8 TB/s"}
    scenario = load_scenario(
        "demo",
        {
            "cluster.nodes": {
                "router": {"workers": ["router"], "device": "host-cpu", "link": LINK},
                "gateway": {"workers": ["gateway"], "device": "host-cpu", "link": LINK},
                "chip": {"workers": ["chip"], **node},
                "experts": {"workers": ["experts"], "count": SHARDS, **node},
                "adder": {"workers": ["switch"], "device": "host-cpu", "link": wide},
            },
            "cluster.network": {"type": "switch", "switch_latency": "250 ns"},
            "model.path": MODEL,
            "model.numerics": "digest",
            "model.dtype": "bf16",
            "model.num_kv_blocks": 256,
            "model.max_model_len": 512,
            "placement.kv_pool": False,
            "placement.collections": None,
            **{f"placement.experts.{key}": "in_network" for key in way},
            "workload": {
                "arrivals": {"closed": {"concurrency": USERS, "num_requests": USERS}},
                "prompts": {
                    "synthetic": {
                        "input_length": {"fixed": PROMPT},
                        "output_length": {"fixed": ANSWER},
                    }
                },
            },
        },
    )
    drawn = Blueprint.draw(scenario, needs_weights=False)

    async def job(world: VirtualWorld) -> Measured:
        driver = Driver(world.gateway, world.client, lambda _: None)
        answers = await driver.run(build_workload(scenario, drawn.model.vocab))
        counts = world.host.network_counts()
        assert counts is not None
        count, cost = Counter[str](), Counter[str]()
        for record in world.trace.records:
            if isinstance(record, Delivered):
                count[record.kind] += 1
                cost[record.kind] += record.num_bytes
        out, into = (counts.links[f"chip-0.{end}"].num_bytes[0] for end in ("out", "in"))
        tokens = {answer.request_id: answer.token_ids for answer in answers}
        spent = [answer.tpot_ns or 0 for answer in answers]
        return Measured(out, into, count, cost, tokens, sum(spent) / len(spent))

    return run_virtual(drawn, job)


def rows() -> Iterator[Row]:
    """All-reduce, then experts."""
    yield from all_reduce_rows()
    yield from expert_rows()


def expert_rows() -> Iterator[Row]:
    runs = {name: measured(way) for name, way in WAYS.items()}
    direct = runs["direct"]
    evidence = f"projection: {MODEL} as digests, 8 users, {SHARDS} shards; counts of the run"
    yield Row(
        "runs whose tokens are those of direct messages",
        sum(run.tokens == direct.tokens for run in runs.values()),
        "runs",
        f"{len(runs)} of {len(runs)}",
        all(run.tokens == direct.tokens for run in runs.values()),
        evidence,
    )
    asked = direct.count["dispatch"]
    pairs = (direct.cost["dispatch"] - asked * (ENVELOPE + 4)) // (IDENTITY + 8 * TOP_K + ROW)
    copies, adds = runs["copied"], runs["added"]
    by_hand = (
        copies.count["multicast"] * (ENVELOPE + 4)
        + 8 * copies.count["relayed"]
        + NUM_TOKENS * (IDENTITY + 10 * TOP_K + ROW)
    )
    yield from _saved("egress", copies.out_bytes, direct.out_bytes, pairs, by_hand, evidence)
    by_hand = (
        adds.count["reduced"] * ENVELOPE + 8 * adds.count["partial"] + NUM_TOKENS * (IDENTITY + ROW)
    )
    yield from _saved("ingress", adds.in_bytes, direct.in_bytes, pairs, by_hand, evidence)
    yield Row(
        "time per output token by a switch, both ways, over that of direct messages",
        runs["both"].tpot_ns / direct.tpot_ns,
        "x",
        "told: whole messages are taken in before they go on",
        True,
        evidence,
    )


def _saved(
    way: str, by_switch: int, direct: int, pairs: int, by_hand: int, evidence: str
) -> Iterator[Row]:
    """Bytes of experts on one way of the chip's link, all messages of both runs."""
    yield Row(
        f"bytes on the chip's {way} by a switch, over hand arithmetic",
        by_switch / by_hand,
        "x",
        "1: to the byte",
        by_switch == by_hand,
        evidence,
    )
    shards = pairs / NUM_TOKENS
    yield Row(
        f"of the bytes on the chip's {way}, saved ({shards:.2f} shards a token)",
        100 * (1 - by_switch / direct),
        "%",
        f"(k - 1)/k = {100 * (1 - 1 / shards):.1f} % of the rows, within 2 points",
        abs(by_switch / direct - 1 / shards) <= 0.02,
        evidence,
    )
