"""Steps that wait for their turn at a rank are what they were when the leader ordered them."""

from pathlib import Path

import pytest

from tests.workers.bench import Bench
from tests.workers.chip.ranks import items_of, sequences
from tests.workers.model.models import SIZES, write_model
from tests.workers.parallel.crew import Crew, bench_of
from workers.chip.step import Step


@pytest.mark.parametrize(("tensor", "pipeline"), [(1, 2), (2, 2)])
def test_a_sequence_that_lost_its_blocks_meanwhile_is_computed_in_those_it_had(
    tmp_path: Path, tensor: int, pipeline: int
) -> None:
    """As when it is aborted: the scheduler keeps them until the step has ended."""
    folder = write_model(tmp_path, sizes=SIZES)

    async def job(bench: Bench) -> None:
        crew = Crew(bench, folder, tensor, pipeline)
        node = bench.nodes[crew.ranks.names[crew.ranks.leader]]
        items = items_of(sequences([[7], [9], [11]]))
        tasks = [
            node.spawn(crew.leader.run(Step((item,), (), 1)), f"step {n}")
            for n, item in enumerate(items)
        ]
        await bench.clock.wait_until(1)
        items[1].seq.block_ids = []
        for task in tasks:
            (lane,), _ = await task
            assert lane.result() is not None and not lane.batch.failures

    bench_of(tensor, pipeline).run(job)
