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

What came out: as expected, the ring's time over the switch's 14 at 1 kB and 0.978 at 64 MB; 5.35
shards a token, 81.2 % of the bytes saved each way; a token takes 0.3 % less time both ways by the
switch: whole messages taken in eat what the saved bytes give.
"""

from collections.abc import Iterator

import numpy as np

from benchmarks.network._experts_by_switch import expert_rows
from benchmarks.network.collectives import digests
from benchmarks.rows import Row
from cluster.network.build import Network
from cluster.network.graph import Graph
from configs.schema import load_link
from configs.schema.collectives import Algorithm
from configs.schema.network import NetworkSection
from tests.workers.bench import Bench
from tests.workers.collectives.ranks import SWITCH, Ranks, names, switch_for
from workers.collectives import operations
from workers.wire.fabric.fabric import Fabric

LINK, SWITCH_NS = "lowlat-2us", 250
DEGREES, SIZES = (2, 4, 8, 16), (1_000, 32_000, 1_000_000, 64_000_000)
NUM_ROWS = 40
HEAD_BYTES, ANSWER_BYTES = 64 + 8 + 4 + len("tp"), 64
BAR = 0.01


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


def rows() -> Iterator[Row]:
    """All-reduce, then experts."""
    yield from all_reduce_rows()
    yield from expert_rows()
