"""Steps of a roster end once."""

import pytest

from tests.workers.chip.driver import SIZE
from workers.chip.scheduler import Scheduler
from workers.chip.sequence import Sequence
from workers.kv.blocks import BlockManager


def scheduler() -> Scheduler:
    return Scheduler(
        BlockManager(8, SIZE, enable_prefix_caching=False),
        max_num_seqs=4,
        max_num_batched_tokens=16,
        max_model_len=12,
    )


def test_a_step_that_is_not_in_flight_cannot_fail() -> None:
    chip = scheduler()
    chip.add(Sequence("a", [1, 2, 3], max_tokens=2))
    first = chip.schedule()
    assert first is not None
    chip.abandon(first)
    with pytest.raises(ValueError, match="not the step in flight"):
        chip.abandon(first)
    second = chip.schedule()
    assert second is not None
    with pytest.raises(ValueError, match="not the step in flight"):
        chip.abandon(first)
    chip.advance(second, {"a": 1})
