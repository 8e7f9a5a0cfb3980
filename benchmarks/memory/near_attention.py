"""KV that lies with memory servers: attention beside it, or its blocks shipped to the chip.

Expected before the first run: the same tokens either way as where all KV stays on the chip, for
any split, since parts merge by log-sum-exp to what attention over all keys is, up to the rounding
of fp32. For one stream of perfuse-tiny (4 layers, 8 heads and 4 KV heads of 32) behind 57 full
blocks of 16 tokens at one server behind CXL (60 GB/s): near, a layer of a token crosses the link
with 1,108 bytes out and 1,124 back, envelopes included; shipped, with 80 out and 57 x 16 KiB = 934
KB back, 418 times as much. That takes 15.6 us a layer more, and the chip attends in one more
launch, 3 us, through 934 KB of its own HBM, 0.45 us: 76 us a token. The server reads the same 934
KB in both (1.0 us of LPDDR5X), which hides the arithmetic of near (0.3 us).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from statistics import median

from benchmarks.memory.by_hand import read_ns
from benchmarks.rows import Row
from benchmarks.runs import NUM_QUESTIONS, demo, questions, run_in_virtual
from cluster.runs.run import run_live, run_traced
from cluster.worlds.blueprint import Blueprint
from workers.host.trace import Delivered

ENVELOPE, LAYERS, HEADS, KV_HEADS, WIDTH, FP32 = 64, 4, 8, 4, 32, 4
BLOCK_TOKENS = 16
# The answer ends before another block is full.
NUM_BLOCKS, NUM_OUTPUT, NUM_STREAM, NUM_LIVE = 57, 15, 4, 16
ASKED = ("near_attend", "near_fetch")
WITHIN_PERCENT = 2.0


def _near(keep: int, mode: str) -> dict[str, object]:
    return {"placement.kv_near": {"keep": keep, "mode": mode}}


def _split(servers: int, keep: int, mode: str) -> dict[str, object]:
    return {**_near(keep, mode), "cluster.nodes.pnm.count": servers}


# Memory servers beside the demo's one of flash, full blocks that stay on the chip, and the mode.
SPLITS: Mapping[str, Mapping[str, object]] = {
    "near, all full blocks on 2 servers": _split(1, 0, "near"),
    "near, all full blocks but 2 on 3 servers": _split(2, 2, "near"),
    "near, all full blocks on 5 servers": _split(4, 0, "near"),
    "shipped, all full blocks on 2 servers": _split(1, 0, "ship"),
}
ONE_SERVER = {
    "cluster.nodes.hbf": None,
    "placement.collections": None,
    "workload.arrivals": {"closed": {"concurrency": 1, "num_requests": NUM_STREAM}},
    "workload.prompts": {
        "synthetic": {
            "input_length": {"fixed": NUM_BLOCKS * BLOCK_TOKENS},
            "output_length": {"fixed": NUM_OUTPUT},
        }
    },
}


@dataclass(frozen=True, slots=True)
class Stream:
    """One stream at a time.

    token_ns     median from token to token
    out, back    bytes of each question to a server, and of each answer, in the steady state
    joules       of all machines and links, a token
    """

    token_ns: float
    out: int
    back: int
    joules: float


def _answers(changes: Mapping[str, object]) -> tuple[list[list[int]], int]:
    """Tokens of every question, and how often a memory server was asked about KV."""
    blueprint = Blueprint.draw(demo(NUM_QUESTIONS, changes))
    run, records = run_traced(blueprint, questions(blueprint))
    asked = sum(isinstance(r, Delivered) and r.kind in ASKED for r in records)
    return [answer.token_ids for answer in run.answers], asked


def split_rows() -> Iterator[Row]:
    want, _ = _answers({})
    for name, changes in SPLITS.items():
        got, asked = _answers(changes)
        differ = sum(a != b or not a for a, b in zip(got, want, strict=True))
        num_tokens = sum(map(len, got))
        yield Row(
            f"{name}: answers that differ from the chip's own", differ, "", "0",
            not differ and asked > num_tokens and len(got) == NUM_QUESTIONS,
            f"measured: {len(got)} answers, {num_tokens:,} tokens, fp32, virtual; {asked:,} "
            "messages with queries",
        )  # fmt: skip


def process_row() -> Row:
    """On the wall clock, beside virtual time."""
    found = []
    for world in ("virtual", "process"):
        blueprint = Blueprint.draw(demo(NUM_LIVE, {**_near(0, "near"), "cluster.world": world}))
        workload = questions(blueprint, NUM_LIVE)
        if world == "virtual":
            run = run_in_virtual(blueprint, workload, world)
        else:
            run = run_live(blueprint, workload, lambda _: None, lambda _: None)
        found.append([answer.token_ids for answer in run.answers])
    differ = sum(a != b or not a for a, b in zip(*found, strict=True))
    return Row("near, process beside virtual: answers that differ", differ, "", "0", not differ,
               f"measured: {len(found[0])} answers")  # fmt: skip


@cache
def stream(mode: str) -> Stream:
    blueprint = Blueprint.draw(demo(NUM_STREAM, {**ONE_SERVER, **_near(0, mode)}))
    run, records = run_traced(blueprint, questions(blueprint, NUM_STREAM))
    asked, told = ("near_attend", "near_parts") if mode == "near" else ("near_fetch", "near_blocks")
    sizes = {
        kind: max(r.num_bytes for r in records if isinstance(r, Delivered) and r.kind == kind)
        for kind in (asked, told)
    }
    steps = [
        later - earlier
        for answer in run.answers
        for earlier, later in zip(answer.token_ns, answer.token_ns[1:], strict=False)
    ]
    num_tokens = sum(len(answer.token_ids) for answer in run.answers)
    joules = sum(sum(accounts.values()) for accounts in run.joules.values())
    return Stream(median(steps), sizes[asked], sizes[told], joules / num_tokens)


def bytes_rows() -> list[Row]:
    queries = HEADS * WIDTH * FP32
    layer_bytes = NUM_BLOCKS * BLOCK_TOKENS * 2 * KV_HEADS * WIDTH * FP32
    by_hand = {
        "near": (ENVELOPE + 4 + 16 + queries, ENVELOPE + 4 + queries + HEADS * FP32),
        "ship": (ENVELOPE + 4 + 12, ENVELOPE + 4 + layer_bytes),
    }
    rows = []
    for mode, (out, back) in by_hand.items():
        found = stream(mode)
        total = LAYERS * (found.out + found.back)
        rows.append(
            Row(
                f"{mode}: bytes of a token between chip and server, {NUM_BLOCKS} blocks",
                total, "bytes", f"{LAYERS * (out + back):,}",
                (found.out, found.back) == (out, back),
                f"projection: {found.out:,} out and {found.back:,} back in each of {LAYERS} layers",
            )
        )  # fmt: skip
    return rows


def time_rows() -> list[Row]:
    near, ship = stream("near"), stream("ship")
    by_hand, more = _more_ns(near, ship), ship.token_ns - near.token_ns
    apart = 100 * (more / by_hand - 1)
    return [
        Row("from token to token, near", near.token_ns / 1e3, "us", "shown only", True,
            f"projection: median of {NUM_STREAM} answers; {1e6 * near.joules:.0f} uJ a token"),
        Row("from token to token, shipped", ship.token_ns / 1e3, "us", "shown only", True,
            f"projection: the same; {1e6 * ship.joules:.0f} uJ a token"),
        Row("shipping takes longer than near by, beside the specification", apart, "%",
            f"within {WITHIN_PERCENT:g} %", abs(apart) <= WITHIN_PERCENT,
            f"projection: {more / 1e3:.1f} us a token, by hand {by_hand / 1e3:.1f}"),
    ]  # fmt: skip


def _more_ns(near: Stream, ship: Stream) -> float:
    """What a token takes longer by hand: bytes by the narrower link's bandwidth, and a launch of
    the chip, as long as its memory takes to write or read what came.
    """
    plan = Blueprint.draw(demo(NUM_STREAM, ONE_SERVER)).plan
    chip = plan.node(plan.directory["decode-0"])
    server = plan.node(plan.directory["memory-0"])
    per_ns = min(chip.link.bytes_per_s, server.link.bytes_per_s) / 1e9
    num_bytes = (ship.out + ship.back) - (near.out + near.back)
    launch_ns = chip.device.launch_overhead_ns + read_ns(chip.device.tiers["hbm"], ship.back)
    return LAYERS * (num_bytes / per_ns + launch_ns)


def rows() -> Sequence[Row]:
    return [*split_rows(), process_row(), *bytes_rows(), *time_rows()]
