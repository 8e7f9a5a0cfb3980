"""What a step of a chip of several ranks takes on an idle network, by hand.

Machines of a test bench: an operation a nanosecond, a byte a nanosecond of memory and of each link,
1 us on the way. The model: hidden 32, 4 query and 2 KV heads of 8, 4 experts of 24.
"""

from pathlib import Path

import numpy as np
import pytest

from tests.workers.bench import Bench
from tests.workers.chip.ranks import items_of, sequences
from tests.workers.model.models import SIZES, write_model
from tests.workers.parallel.crew import Crew, bench_of
from workers.model.base import StepLayout

WAY_NS = 1_000
ENVELOPE = 64
HIDDEN, GATE, NORMS = 32, 4 * 32, 2 * 32 + 2 * 8
# Queries, keys, values and output of all heads; a half holds half of each.
MATRICES = 32 * 32 + 16 * 32 + 16 * 32 + 32 * 32
# Memory is slower than arithmetic here: weights, gate and norms in fp32, key and value of a token.
WHOLE_NS = 4 * (MATRICES + GATE + NORMS) + 2 * 16 * 4
HALF_NS = 4 * (MATRICES // 2 + GATE + NORMS) + 2 * 8 * 4
ROW_NS = 4 * HIDDEN  # of the embedding, which each rank of the first stage reads
# Numbers of the order; "s0" with three numbers; eight blocks; a token.
ORDER_NS = ENVELOPE + 3 * 4 + 2 + 3 * 4 + 8 * 4 + 4
ROWS_NS = ENVELOPE + 2 * 4 + 4 * HIDDEN  # sums of a row for another rank, or the row of a stage
PIECE_NS = ENVELOPE + len("rank-0") + 8 + 4 + 4 * HIDDEN  # a share, in the chip's group
# Number, position, two experts and weights, and the row; two experts' weights; the sum.
THERE_NS = ENVELOPE + 4 + 8 + 4 + 2 * 4 + 2 * 4 + 4 * HIDDEN + WAY_NS
BACK_NS = ENVELOPE + 4 * HIDDEN + WAY_NS
EXPERTS_NS = THERE_NS + 2 * 3 * 24 * HIDDEN * 4 + BACK_NS


def step_ns(tmp_path: Path, tensor: int, pipeline: int, layers: int) -> int:
    """Of one token."""
    folder = write_model(tmp_path, sizes=SIZES | {"num_hidden_layers": layers})

    async def job(bench: Bench) -> int:
        crew = Crew(bench, folder, tensor, pipeline)
        _, took_ns = await crew.step([[7]])
        return took_ns

    return bench_of(tensor, pipeline).run(job)


def test_of_one_layer_over_two_ranks(tmp_path: Path) -> None:
    """The other rank begins when it has been ordered to; its share is the last word before the
    experts. Each launch, each message of the sum and of the experts counts, and nothing else.
    """
    by_hand_ns = ORDER_NS + WAY_NS + ROW_NS + HALF_NS + PIECE_NS + WAY_NS + EXPERTS_NS
    assert step_ns(tmp_path, 2, 1, 1) == pytest.approx(by_hand_ns, rel=0.01)


@pytest.mark.parametrize("layers", [2, 4])
def test_of_layers_over_two_stages(tmp_path: Path, layers: int) -> None:
    layers_ns = ROW_NS + layers * (WHOLE_NS + EXPERTS_NS)
    by_hand_ns = ORDER_NS + WAY_NS + layers_ns + ROWS_NS + WAY_NS
    assert step_ns(tmp_path, 1, 2, layers) == pytest.approx(by_hand_ns, rel=0.01)


def test_more_layers_over_two_ranks_cost_as_many_sums(tmp_path: Path) -> None:
    """From the second layer on the other rank begins a message later: what experts answered has
    come to it from the rank that asked.
    """
    layer_ns = ROWS_NS + WAY_NS + HALF_NS + PIECE_NS + WAY_NS + EXPERTS_NS
    one_ns = ORDER_NS + WAY_NS + ROW_NS + HALF_NS + PIECE_NS + WAY_NS + EXPERTS_NS
    assert step_ns(tmp_path, 2, 1, 4) == pytest.approx(one_ns + 3 * layer_ns, rel=0.01)


@pytest.mark.parametrize("stages", [2, 4])
def test_each_stage_works_on_another_step(tmp_path: Path, stages: int) -> None:
    """Steps follow each other at the time of one stage, not of all of them: by hand, `n` steps take
    the time of one and of `n - 1` stages more. Experts are waited for by their stage; they are
    narrow here, as one shard has those of all stages.
    """
    narrow = {"num_hidden_layers": 4, "moe_intermediate_size": 1}
    folder, count = write_model(tmp_path, sizes=SIZES | narrow), 6

    async def job(bench: Bench) -> int:
        crew, begun_ns = Crew(bench, folder, 1, stages), bench.clock.now()
        node = bench.nodes[crew.ranks.names[crew.ranks.leader]]
        tasks = [node.spawn(crew.step([[7]]), f"step {n}") for n in range(count)]
        for task in tasks:
            await task
        return bench.clock.now() - begun_ns

    experts_ns = THERE_NS + 2 * 3 * HIDDEN * 4 + BACK_NS
    stage_ns = (4 // stages) * (WHOLE_NS + experts_ns)
    between_ns = ROWS_NS + WAY_NS
    first_ns = ORDER_NS + WAY_NS + ROW_NS + stages * stage_ns + (stages - 1) * between_ns
    # The first stage is the longest: it embeds, and sends what it has computed before it goes on.
    each_ns = stage_ns + ROW_NS + ROWS_NS
    by_hand_ns = first_ns + (count - 1) * each_ns
    assert bench_of(1, stages).run(job) == pytest.approx(by_hand_ns, rel=0.01)


@pytest.mark.parametrize(("tensor", "pipeline"), [(2, 1), (1, 2), (2, 2)])
def test_work_is_declared_of_what_each_rank_holds(
    tmp_path: Path, tensor: int, pipeline: int
) -> None:
    folder = write_model(tmp_path, sizes=SIZES)

    async def job(bench: Bench) -> None:
        crew = Crew(bench, folder, tensor, pipeline)
        await crew.step([[7, 9]])
        for number, name in enumerate(crew.ranks.names):
            read = bench.nodes[name].hardware.resources["hbm.read"].busy_ns(bench.clock.now())
            layers = 2 // pipeline
            kv = 2 * (16 // tensor) * 4 * 2
            matrices = 4 * (MATRICES // tensor + GATE + NORMS)
            embedded = 2 * 4 * HIDDEN if crew.ranks.parts[number].embeds else 0
            assert read == layers * (matrices + kv) + embedded, number

    bench_of(tensor, pipeline).run(job)


@pytest.mark.parametrize(("tensor", "pipeline"), [(2, 1), (1, 2), (2, 2)])
def test_hidden_states_have_the_same_bits_over_any_ranks(
    tmp_path: Path, tensor: int, pipeline: int
) -> None:
    folder = write_model(tmp_path, sizes=SIZES)
    prompts = [[5, 9, 31, 7], [44, 3, 3, 8, 19], [2]]

    async def job(bench: Bench) -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
        names = [name for name in bench.nodes if name.startswith("rank")]
        crew = Crew(bench, folder, *((tensor, pipeline) if len(names) > 1 else (1, 1)))
        lanes, _ = await crew.step(prompts)
        layouts: list[StepLayout] = [lane.batch.layout for lane in lanes]
        assert sum(layout.num_tokens for layout in layouts) == 10
        rows = np.concatenate([lane.result() for lane in lanes])
        return {"rows": rows}

    one = bench_of(1, 1).run(job)["rows"]
    assert len(items_of(sequences(prompts))) == 3 and one.shape == (10, HIDDEN)
    assert np.array_equal(bench_of(tensor, pipeline).run(job)["rows"], one)
