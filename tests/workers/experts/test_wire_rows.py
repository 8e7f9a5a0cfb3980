"""The exchange where rows and sums are rounded on their way."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from configs.precision import Precision, WireKind
from kernels.numbers import from_bf16, to_bf16
from tests.workers.bench import SECOND_NS, Bench
from tests.workers.experts.toy import HIDDEN, NUM_EXPERTS, Experts, table, tokens
from workers.errors import PerfuseError
from workers.experts.expert_shard import ExpertShard
from workers.experts.tokens import Combined, Missing
from workers.model.numerics import Numerics, numerics_of

OWNER = [0, 1] * (NUM_EXPERTS // 2)


class Narrow(Experts):
    """Sums in float32, as experts of a speed mode have them."""

    def forward(
        self, layer: int, hidden_TH: NDArray, experts_TK: NDArray, weights_TK: NDArray
    ) -> NDArray:
        assert hidden_TH.dtype == np.float32 and hidden_TH.shape[1] == HIDDEN
        wide = super().forward(layer, hidden_TH, experts_TK, weights_TK)
        return wide.astype(np.float32)


def numerics(row: WireKind) -> Numerics:
    return numerics_of(Precision("bf16", "bf16"), HIDDEN, row)


def bench(row: WireKind, *, through_frames: bool = False) -> Bench:
    made = Bench(
        "chip", "shard-0", "shard-1", through_frames=through_frames, numerics=numerics(row)
    )
    for index in range(2):
        node = made.nodes[f"shard-{index}"]
        experts = Narrow(tuple(e for e, s in enumerate(OWNER) if s == index))
        shard = ExpertShard(node, node.name, experts)  # type: ignore[arg-type]
        made.nodes[node.name].worker = shard  # type: ignore[attr-defined]
    return made


def serve(made: Bench) -> None:
    for name in ("shard-0", "shard-1"):
        node = made.nodes[name]
        node.spawn(node.worker.serve(), name)  # type: ignore[attr-defined]


@pytest.mark.parametrize("through_frames", [False, True], ids=["memory", "frames"])
@pytest.mark.parametrize("row", ["fp32", "bf16", "int8"])
def test_each_shard_has_rounded_rows_and_answers_in_bf16(
    row: WireKind, through_frames: bool
) -> None:
    batch = tokens(4, 7, 3)

    async def job(made: Bench) -> Combined:
        serve(made)
        exchange = made.node("chip").dispatch_side("chip")
        handle = await exchange.dispatch_send(batch, table(OWNER), SECOND_NS)
        return await exchange.combine_receive(handle)

    combined = bench(row, through_frames=through_frames).run(job)
    rows = numerics(row).received(numerics(row).sent(batch.hidden_TH))
    wanted = np.zeros((7, HIDDEN))
    for index in range(2):
        experts = Narrow(tuple(e for e, s in enumerate(OWNER) if s == index))
        wanted += from_bf16(to_bf16(experts.forward(0, rows, batch.experts_TK, batch.weights_TK)))
    assert not combined.missing
    assert np.array_equal(combined.sums_TH, wanted)
    exact = Experts().forward(0, batch.hidden_TH, batch.experts_TK, batch.weights_TK)
    assert not np.array_equal(combined.sums_TH, exact)


def test_rows_of_another_width_are_refused_and_the_next_are_served() -> None:
    """A chip that sends rows of another model: its tokens are missing, with the reason."""
    made = bench("bf16")

    async def job(made: Bench) -> tuple[tuple[Missing, ...], Combined]:
        serve(made)
        batch, exchange = tokens(4, 2, 2), made.node("chip").dispatch_side("chip")
        wrong = replace(batch, hidden_TH=np.ones((2, HIDDEN + 1), np.float32))
        handle = await exchange.dispatch_send(wrong, table(OWNER), SECOND_NS)
        refused = (await exchange.combine_receive(handle)).missing
        handle = await exchange.dispatch_send(batch, table(OWNER), SECOND_NS)
        return refused, await exchange.combine_receive(handle)

    refused, served = made.run(job, failures_expected=True)
    assert refused and all(isinstance(one.error, PerfuseError) for one in refused)
    assert "dimension 1 of bf16 must be 6" in str(made.failures[0][1])
    assert not served.missing
