"""A chip that computes experts from weights that shards ship to it has the shards' own bits, and it
is the chip, the shards' tiers and links that pay.
"""

from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import TypeVar

import numpy as np
import pytest

from configs.families import load_model
from configs.precision import EXACT, Precision
from configs.presets import model_folder
from tests.workers.bench import SECOND_NS, Bench, make_device, make_tier
from tests.workers.wire.calls import assert_idle
from workers.errors import InvalidRequest
from workers.experts import fetching, weight_shard
from workers.experts.exchange import DispatchSide
from workers.experts.expert_shard import ExpertShard
from workers.experts.fetching import FetchingSide
from workers.experts.routing import RoutingTable
from workers.experts.tokens import Combined, Tokens, request_number
from workers.experts.weight_shard import WeightShard
from workers.hardware.energy.phase import Phase
from workers.model import shipped_experts
from workers.model.factory import open_experts
from workers.model.numerics import numerics_of
from workers.model.shipped_experts import ExpertSizes, NoKernels, check_kernels, read_flat
from workers.wire.kinds.experts import WeightsRead

T = TypeVar("T")
FOLDER = model_folder("perfuse-tiny")
CONFIG = load_model(FOLDER)
EXPERT_BYTES = 98_304
TIERS = {"hbm": make_tier(), "ddr": make_tier()}
RATES = {"fp32": 10**9, "bf16": 10**9, "int8": 10**9}
OWNERS = ([0] * 8, [0, 1] * 4, [2, 0, 1, 1, 2, 2, 0, 1])


def tokens(num: int, seed: int = 0) -> Tokens:
    """Each with two of the eight experts."""
    rng = np.random.default_rng(seed)
    experts = np.stack([rng.permutation(8)[:2] for _ in range(num)]).astype(np.int32)
    hidden = rng.normal(size=(num, CONFIG.hidden)).astype(np.float32)
    weights = rng.random((num, 2)).astype(np.float32)
    requests = np.full(num, request_number("r"), np.uint64)
    return Tokens(1, "r", requests, np.arange(num), hidden, experts, weights, Phase.DECODE)


def run(
    owner: list[int],
    job: Callable[[Bench, DispatchSide, RoutingTable], Awaitable[T]],
    *,
    is_shipped: bool,
    precision: Precision = EXACT,
) -> T:
    names = [f"shard-{i}" for i in range(max(owner) + 1)]
    device = make_device(TIERS, default_tier="hbm", compute=RATES)
    numerics = numerics_of(precision, CONFIG.hidden)
    bench = Bench("chip", *names, device=device, numerics=numerics)
    held = {n: tuple(e for e in range(8) if names[owner[e]] == n) for n in names}
    table = RoutingTable.of({e: names[s] for e, s in enumerate(owner)}, names)
    sizes = ExpertSizes(CONFIG, precision)

    async def stand(_: Bench) -> T:
        chip = bench.node("chip")
        side = FetchingSide(chip, "chip", sizes) if is_shipped else chip.dispatch_side("chip")
        for name, ids in held.items():
            if is_shipped:
                tiers = {e: "ddr" if e == 0 else "hbm" for e in ids}
                WeightShard(bench.node(name), name, sizes, read_flat(FOLDER, ids)[1], tiers)
            else:
                shard = ExpertShard(bench.node(name), name, open_experts(FOLDER, ids, precision))
                bench.node(name).spawn(shard.serve(), name)
        return await job(bench, side, table)

    return bench.run(stand)


async def combined(side: DispatchSide, table: RoutingTable, batch: Tokens) -> Combined:
    return await side.combine_receive(await side.dispatch_send(batch, table, SECOND_NS))


@pytest.mark.parametrize("owner", OWNERS, ids=["one shard", "two", "three"])
@pytest.mark.parametrize(
    "precision", [EXACT, Precision("bf16", "bf16"), Precision("int8", "bf16")], ids=str
)
def test_sums_are_those_of_the_shards_bit_for_bit(owner: list[int], precision: Precision) -> None:
    async def job(bench: Bench, side: DispatchSide, table: RoutingTable) -> list[np.ndarray]:
        found = [await combined(side, table, tokens(num, seed=num)) for num in (1, 5, 40)]
        assert all(not one.missing for one in found)
        assert_idle(bench)
        return [one.sums_TH for one in found]

    near, shipped = (run(owner, job, is_shipped=how, precision=precision) for how in (False, True))
    for here, there in zip(shipped, near, strict=True):
        assert here.dtype == there.dtype and np.array_equal(here, there)
        assert np.abs(here).max() > 0


def test_pieces_are_bounded_and_make_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """24,576 values in pieces of 1,000: 25 of each expert, two of a shard on their way at once."""

    async def job(bench: Bench, side: DispatchSide, table: RoutingTable) -> np.ndarray:
        handle = await side.dispatch_send(tokens(5), table, SECOND_NS)
        if isinstance(side, FetchingSide):
            assert bench.node("chip").endpoint.outgoing.in_flight() == 2 * 2
        return (await side.combine_receive(handle)).sums_TH

    near = run([0, 1] * 4, job, is_shipped=False)
    monkeypatch.setattr(weight_shard, "PIECE_VALUES", 1_000)
    monkeypatch.setattr(fetching, "PIECE_VALUES", 1_000)
    monkeypatch.setattr(fetching, "PIECES_AT_ONCE", 2)
    assert np.array_equal(run([0, 1] * 4, job, is_shipped=True), near)


def test_tiers_links_and_the_chip_pay_for_what_was_chosen() -> None:
    """Experts 0, which lies in another tier, and 3, of two tokens."""
    batch = tokens(2)
    batch.experts_TK[:] = [[0, 3], [3, 0]]

    async def job(bench: Bench, side: DispatchSide, table: RoutingTable) -> dict[str, int]:
        await combined(side, table, batch)
        return {
            f"{name} {resource}": busy
            for name, node in bench.nodes.items()
            for resource, one in node.hardware.resources.items()
            if (busy := one.busy_ns(bench.clock.now()))
        }

    flops = 2 * 2 * 6 * CONFIG.hidden * CONFIG.moe_intermediate
    assert run([0] * 4 + [1] * 4, job, is_shipped=True) == {
        "chip compute.fp32": flops,
        "chip hbm.read": 2 * EXPERT_BYTES,
        "chip hbm.write": 2 * EXPERT_BYTES,
        "shard-0 ddr.read": EXPERT_BYTES,
        "shard-0 hbm.read": EXPERT_BYTES,
    }


def test_pieces_of_an_expert_are_charged_its_bytes() -> None:
    """4.125 bits a weight are no whole number of bytes for every piece."""
    sizes = ExpertSizes(CONFIG, Precision("int4", "bf16"))
    ends = [*range(0, sizes.num_values, 1_001), sizes.num_values]
    charged = [sizes.bytes_between(begin, end) for begin, end in pairwise(ends)]
    assert sum(charged) == Precision("int4", "bf16").expert_bytes(CONFIG)
    assert max(charged) - min(charged[:-1]) <= 1


def test_a_shard_that_dies_is_missed_by_its_own_tokens() -> None:
    batch = tokens(3)
    batch.experts_TK[:] = [[0, 1], [0, 5], [6, 7]]

    async def job(bench: Bench, side: DispatchSide, table: RoutingTable) -> Combined:
        handle = await side.dispatch_send(batch, table, SECOND_NS)
        await bench.kill("shard-1")
        return await side.combine_receive(handle)

    async def whole(bench: Bench, side: DispatchSide, table: RoutingTable) -> Combined:
        return await combined(side, table, batch)

    told = run([0] * 4 + [1] * 4, job, is_shipped=True)
    (missing,) = told.missing
    assert missing.shard == "shard-1" and missing.rows.tolist() == [1, 2]
    complete = run([0] * 4 + [1] * 4, whole, is_shipped=True)
    assert np.array_equal(told.sums_TH[0], complete.sums_TH[0])


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (WeightsRead(1, 5, 0, 10), "shard-0 has no expert 5 of layer 1"),
        (WeightsRead(9, 0, 0, 10), "no expert 0 of layer 9"),
        (WeightsRead(1, 0, 5, 5), "values 5 to 5 are asked for: an expert has 24576"),
        (WeightsRead(1, 0, 0, 24_577), "values 0 to 24577 are asked for"),
    ],
    ids=str,
)
def test_what_is_asked_wrongly_is_refused(asked: WeightsRead, told: str) -> None:
    async def job(bench: Bench, side: DispatchSide, table: RoutingTable) -> None:
        with pytest.raises(InvalidRequest, match=told):
            await bench.port("chip").call("shard-0", asked, deadline_ns=SECOND_NS)

    run([0] * 4 + [1] * 4, job, is_shipped=True)


def test_without_kernels_exact_mode_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipped_experts, "lib", None)
    with pytest.raises(NoKernels, match=r"placement\.experts\.mode: is 'ship'"):
        check_kernels(EXACT)
    check_kernels(Precision("bf16", "bf16"))
