"""KV offload: prompts that come again after the chip's cache has let go of them.

One chip with room for 40 KV blocks, whose arithmetic is weak (100 GFLOP/s in fp32, made up, so that
`perfuse-tiny` is to it what a large model is to a large chip), experts elsewhere, and a tier behind
its HBM that reads 8 GB/s after 5 us and writes 4 GB/s after 20 us (made up as well: an SSD's).
Eight prompts of 384 tokens come one after the other, each three times, for 4 tokens.

Expected before the first run. A prompt has 24 full blocks, of which 23 may come back (its last
token is computed). Seven others of 24 blocks come between: nothing of it is left in 40. So 2 x 8 x
23 x 16 = 5,888 tokens are not computed again. Computing 384 tokens takes 2 x 384 x 4 layers x 50
thousand weights and 4 x 4 x 128 x 384^2 / 2 of attention, 0.30 GFLOP, 3 ms. Reading 23 blocks of
64 KiB takes 0.19 ms, and 16 tokens 0.14 ms to compute: a quarter of the time to the first token at
the most. Over the link the servers' memory does as well, at the link's bandwidth.

Admission: in each of four rounds the eight prompts come, and eight that never come again.
"always" writes all 40 prompts; "second_use" the eight, in the second round, so a fifth of the
bytes, and two rounds of three come back. "write_cost" learns how many come again, at first from
nothing: it writes less than "always" and brings back less. Where the tier may be written 2
MB/s to live six years, it writes 2 MB x (1 s + the run) at the most.

The first run computed 384 tokens in 7.7 ms: a layer has 99 thousand weights, queries are twice as
wide as the stream, and 80 % of the rate is reached, so 0.61 GFLOP at 80 GFLOP/s. "write_cost" wrote
three quarters of what "always" does and brought back less than "second_use": writing is cheap here
beside computing, so half a chance is enough for it at first, and what it then learns is that few
prompts come again, until they do.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import mean
from typing import Any

from benchmarks.laws._checks import workers_of
from benchmarks.rows import Row
from cluster.api.request import Request
from cluster.worlds.blueprint import Blueprint
from cluster.worlds.virtual import VirtualWorld, run_virtual
from configs.flash import YEAR_S
from configs.schema import load_scenario
from workers.chip.chip import Chip
from workers.model.sampling_params import SamplingParams

LENGTH, MAX_TOKENS, BLOCK, AGAIN = 384, 4, 16, 8
FOUND = (LENGTH - 1) // BLOCK * BLOCK
WEAR_BYTES_PER_S, YEARS, CAPACITY_BYTES = 2e6, 6, 10**9
SSD: Mapping[str, Any] = {
    "capacity": f"{CAPACITY_BYTES} B", "read": "8 GB/s", "write": "4 GB/s", "read_latency": "5 us",
    "write_latency": "20 us", "page": "4 KiB", "queue_depth": 64, "read_energy": "10 pJ/bit",
    "write_energy": "100 pJ/bit",
}  # fmt: skip
TTFT_BAR, BYTES_BAR, SAVED_BAR = 0.25, 0.25, 0.6
HOW = "projection: one chip in the virtual world, perfuse-tiny, made-up figures"


@dataclass(frozen=True, slots=True)
class Came:
    """Of one run: answers, times to the first token, the chip's counts, and how long it took."""

    tokens: list[list[int]]
    ttft_ns: list[int]
    counts: Mapping[str, int]
    took_ns: int


def prompt(number: int) -> tuple[int, ...]:
    return tuple(3 + (number * 7919 + i * i * 31 + i * 17) % 490 for i in range(LENGTH))


def chip(offload: Mapping[str, Any] | None, tier: Mapping[str, Any] = SSD) -> Blueprint:
    compute = {"fp32": "100 GFLOP/s"}
    device = {"base": "h100-sxm", "compute": compute, "tiers": {"ssd": tier}}
    changes: dict[str, object] = {
        "cluster.nodes.prefill": None,
        "cluster.nodes.decode": None,
        "cluster.nodes.chip": {"workers": ["chip"], "device": device, "link": "lowlat-2us"},
        "placement.collections": None,
        "workload.prompts.questions.retrieval": None,
        "placement.kv_pool": False,
        "placement.kv_offload": offload,
        "model.num_kv_blocks": 40,
        "model.max_model_len": 512,
        "economics.years": YEARS,
    }
    return Blueprint.draw(load_scenario("demo", changes))


async def asked(world: VirtualWorld, numbers: list[int]) -> Came:
    """The prompts of these numbers, one after the other."""
    tokens: list[list[int]] = []
    ttft_ns: list[int] = []
    begun_ns = world.clock.now()
    params = SamplingParams(max_tokens=MAX_TOKENS, ignore_eos=True)
    for turn, number in enumerate(numbers):
        request = Request(
            f"r{turn}", model="perfuse-tiny", prompt_ids=prompt(number), sampling=params
        )
        came: list[int] = []
        asked_ns = world.clock.now()
        async for output in world.client.submit(request):
            if not came:
                ttft_ns.append(world.clock.now() - asked_ns)
            came += output.token_ids
        tokens.append(came)
    (one,) = workers_of(world, Chip).values()
    return Came(tokens, ttft_ns, one.counts, world.clock.now() - begun_ns)


def measured(blueprint: Blueprint, numbers: list[int]) -> Came:
    return run_virtual(blueprint, lambda world: asked(world, numbers))


def own(admission: str) -> dict[str, Any]:
    return {"tier": "ssd", "capacity": "500 MB", "admission": admission}


def again_rows() -> Iterator[Row]:
    numbers = list(range(AGAIN)) * 3
    without = measured(chip(None), numbers)
    slow_us = mean(without.ttft_ns[AGAIN:]) / 1e3
    expected = 2 * AGAIN * FOUND
    for name, section in (("a tier", own("always")), ("servers' memory", {"tier": "memory"})):
        came = measured(chip(section), numbers)
        differ = sum(a != b for a, b in zip(came.tokens, without.tokens, strict=True))
        yield Row(
            f"KV offload to {name}: answers that differ", differ, "", "0", not differ,
            f"measured: {len(numbers)} answers beside those computed again",
        )  # fmt: skip
        saved = came.counts["offload_saved_tokens"]
        yield Row(
            f"KV offload to {name}: tokens not computed again", saved, "tokens", f"{expected:,}",
            saved == expected, f"{HOW}; {came.counts['offload_returned']} blocks came back",
        )  # fmt: skip
        fast_us = mean(came.ttft_ns[AGAIN:]) / 1e3
        yield Row(
            f"KV offload to {name}: TTFT of prompts that come again, beside computing them",
            fast_us / slow_us, "x", f"<= {TTFT_BAR:g} x", fast_us <= TTFT_BAR * slow_us,
            f"{HOW}; {fast_us:,.0f} and {slow_us:,.0f} us",
        )  # fmt: skip


def mixed() -> list[int]:
    """Four rounds of the eight, each with eight that come but once."""
    return [
        number
        for round_ in range(4)
        for i in range(AGAIN)
        for number in (i, 1_000 + round_ * AGAIN + i)
    ]


def admission_rows() -> Iterator[Row]:
    came = {name: measured(chip(own(name)), mixed()) for name in ("always", "second_use")}
    cost = measured(chip(own("write_cost")), mixed())
    always, twice = (came[name].counts for name in ("always", "second_use"))
    yield from (
        _beside("second_use", "bytes written", "offload_stored_bytes", twice, always, BYTES_BAR),
        _beside("second_use", "tokens saved", "offload_saved_tokens", twice, always, -SAVED_BAR),
        _beside("write_cost", "bytes written", "offload_stored_bytes", cost.counts, always, None),
        _beside("write_cost", "tokens saved", "offload_saved_tokens", cost.counts, always, None),
    )
    cycles = round(WEAR_BYTES_PER_S * YEARS * YEAR_S / CAPACITY_BYTES)
    worn = measured(chip(own("write_cost"), {**SSD, "endurance_cycles": cycles}), mixed())
    most = WEAR_BYTES_PER_S * (1 + worn.took_ns * 1e-9) / 1e6
    wrote = worn.counts["offload_stored_bytes"] / 1e6
    yield Row(
        f"write_cost on a tier that is to last {YEARS} years with 2 MB/s", wrote, "MB",
        f"<= {most:.3f} MB", 0 < wrote <= most,
        f"{HOW}; {cost.counts['offload_stored_bytes'] / 1e6:.1f} MB where it does not wear",
    )  # fmt: skip


def _beside(
    rule: str,
    what: str,
    key: str,
    counts: Mapping[str, int],
    always: Mapping[str, int],
    bar: float | None,
) -> Row:
    """`bar`: at most; below 0, at least its amount; None: shown only."""
    ratio = counts[key] / always[key]
    holds = bar is None or (ratio <= bar if bar >= 0 else ratio >= -bar)
    sign = "shown only" if bar is None else f"{'<=' if bar >= 0 else '>='} {abs(bar):g} x"
    return Row(f"{rule} beside always: {what}", ratio, "x", sign, holds,
               f"{HOW}; {counts[key]:,} and {always[key]:,}")  # fmt: skip


def run() -> Iterator[Row]:
    yield from again_rows()
    yield from admission_rows()
