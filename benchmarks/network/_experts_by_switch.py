"""Experts by way of a switch, beside messages from chip to shard: see `in_network`."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.rows import Row
from cluster.workload.build import build_workload
from cluster.workload.driver import Driver
from cluster.worlds.blueprint import Blueprint
from cluster.worlds.virtual import VirtualWorld, run_virtual
from configs.schema import Scenario, load_scenario
from workers.host.trace import Delivered

LINK = "lowlat-2us"
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


@dataclass(frozen=True, slots=True)
class Measured:
    """One run: what crossed the chip's own link of experts, and messages by kind."""

    out_bytes: int
    in_bytes: int
    count: Counter[str]
    cost: Counter[str]
    tokens: Any
    tpot_ns: float


def scenario_of(way: tuple[str, ...]) -> Scenario:
    node = {"device": "h100-sxm", "link": LINK}
    wide = {"base": LINK, "latency": "0 ns", "bandwidth": "8 TB/s"}
    return load_scenario(
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


def measured(way: tuple[str, ...]) -> Measured:
    scenario = scenario_of(way)
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
