"""A whole model out of flash, in exact mode, with its tokens beside those from HBM.

Expected before the first run: the same tokens in every world, as arithmetic does not know where its
weights lie. TPOT of one stream on one chip, by the specification: a step has a launch of attention
and one of experts in each layer and one of the vocabulary projection. Weights of the chip are in
the buffer when they are asked for, so those launches cost what HBM would; which experts are needed
the gate says, so each layer waits once for the flash, and the first once more for the token's row
of the embedding: about 5 x 20 us more than from HBM.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from benchmarks.memory.by_hand import tpot_ns
from benchmarks.peers.make_model import make_model
from benchmarks.rows import Row
from benchmarks.runs import questions, run_in_virtual
from cluster.reports.summary import overrun_fraction
from cluster.runs.run import Run, run_live
from cluster.worlds.blueprint import Blueprint
from configs.schema import load_scenario

NUM_QUESTIONS, NUM_STREAM, NUM_LIVE = 500, 8, 16
WITHIN_PERCENT, LIVE_PERCENT, OVERRUN_PERCENT = 1.0, 15.0, 5.0
IN_HBM = {"cluster.nodes.chip.device": "b200-h3"}
WORLDS = ("virtual", "process", "local")
# For tokens alone: all comes late, and none differs.
UNDILATED = {"cluster.dilation": 1, "slo.deadline": "1 h"}
IN_FLASH = {**IN_HBM, "placement.policy": "frozen_in_flash"}


def load(num_requests: int, concurrency: int) -> dict[str, object]:
    closed = {"concurrency": concurrency, "num_requests": num_requests}
    return {"workload.arrivals": {"closed": closed}}


def drawn(*changes: Mapping[str, object]) -> Blueprint:
    """`single`, one chip that does all, with its weights where these say."""
    merged: dict[str, object] = {}
    for one in changes:
        merged |= one
    return Blueprint.draw(load_scenario("single", merged))


def run(blueprint: Blueprint, what: str) -> Run:
    workload = questions(blueprint)
    if blueprint.scenario.cluster.world == "virtual":
        return run_in_virtual(blueprint, workload, what)
    return run_live(blueprint, workload, lambda _: None, lambda _: None)


def equal_row(name: str, one: Run, other: Run) -> Row:
    pairs = list(zip(one.answers, other.answers, strict=True))
    differ = sum(a.token_ids != b.token_ids or not a.token_ids for a, b in pairs)
    num_tokens = sum(len(answer.token_ids) for answer in one.answers)
    evidence = f"measured: {len(pairs)} answers, {num_tokens:,} tokens"
    return Row(f"{name}: answers that differ from HBM's", differ, "", "0", not differ, evidence)


def tiny_rows() -> Iterator[Row]:
    many = load(NUM_QUESTIONS, 8)
    in_hbm = run(drawn(many, IN_HBM), "500 questions")
    for world in WORLDS:
        found = run(drawn(many, IN_FLASH, UNDILATED, {"cluster.world": world}), world)
        yield equal_row(f"perfuse-tiny in flash, {world}", found, in_hbm)


def large_rows() -> Iterator[Row]:
    """A random mixture of experts of 0.7 B parameters, in fp32: 2.8 GB in flash, in every world."""
    with TemporaryDirectory(prefix="perfuse-whole-") as folder:
        make_model(Path(folder), seed=1)
        lengths = {"input_length": {"fixed": 24}, "output_length": {"fixed": 12}}
        large: dict[str, object] = {
            "model.path": folder,
            "model.num_kv_blocks": 64,
            "model.max_model_len": 64,
            "workload.prompts": {"synthetic": lengths},
            **UNDILATED,
            **load(2, 2),
        }
        in_hbm = run(drawn(large, IN_HBM), "0.7 B")
        for world in WORLDS:
            found = run(drawn(large, IN_FLASH, {"cluster.world": world}), f"0.7 B, {world}")
            yield equal_row(f"a random 0.7 B model in flash, {world}", found, in_hbm)


def tpot_row() -> Row:
    """One stream, beside the specification."""
    blueprint = drawn(load(NUM_STREAM, 1), IN_FLASH)
    device = blueprint.plan.node("chip-0").device
    apart = []
    for answer in run(blueprint, "one stream").answers:
        assert answer.tpot_ns is not None
        context = answer.num_prompt_tokens + (answer.num_output_tokens + 1) / 2
        apart.append(100 * (answer.tpot_ns / tpot_ns(blueprint.folder, device, context) - 1))
    worst = max(apart, key=abs)
    evidence = f"projection: {NUM_STREAM} answers, one at a time; median {median(apart):+.2f} %"
    return Row(
        "TPOT in virtual beside the specification, worst", worst, "%",
        f"within {WITHIN_PERCENT:g} %", abs(worst) <= WITHIN_PERCENT, evidence,
    )  # fmt: skip


def live_rows(world: str) -> Iterator[Row]:
    few = load(NUM_LIVE, 4)
    virtual = run(drawn(few, IN_FLASH), "virtual")
    live = run(drawn(few, IN_FLASH, {"cluster.world": world}), world)
    here, there = (_tpot_us(one) for one in (live, virtual))
    apart = 100 * (here / there - 1)
    late = 100 * overrun_fraction(live.lateness, _tpots(live))
    evidence = f"measured: {here:.1f} us over dilation, {there:.1f} us in virtual time"
    yield Row(
        f"median TPOT, {world} beside virtual", apart, "%", f"within {LIVE_PERCENT:g} %",
        abs(apart) <= LIVE_PERCENT, evidence,
    )  # fmt: skip
    yield Row(
        f"overruns, {world}", late, "%", f"<= {OVERRUN_PERCENT:g} %", late <= OVERRUN_PERCENT,
        f"measured: of {len(live.lateness):,} runs and deliveries",
    )  # fmt: skip


def _tpots(one: Run) -> dict[str, float]:
    return {a.request_id: a.tpot_ns for a in one.answers if a.tpot_ns is not None}


def _tpot_us(one: Run) -> float:
    return median(_tpots(one).values()) / 1e3


def rows() -> Sequence[Row]:
    return [*tiny_rows(), tpot_row(), *live_rows("process"), *live_rows("local"), *large_rows()]
