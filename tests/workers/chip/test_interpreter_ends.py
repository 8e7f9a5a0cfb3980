"""However a run of programs ends, none is left half-way: what each holds is let go of now."""

import gc

import numpy as np
import pytest

from tests.workers.bench import Bench
from tests.workers.chip.ranks import interpreter, items_of, sequences
from workers.chip.batch import Batch
from workers.chip.interpreter import Lane
from workers.experts.routing import RoutingTable
from workers.hardware.work import Work
from workers.model.program import Compute, Experts, Program

STEP = Work.of("step", reads={"hbm": 100})
TABLE = RoutingTable.of({0: "shard-0"}, ("shard-0",))


def broken() -> None:
    raise ArithmeticError("a kernel's bug")


def test_a_kernel_that_raises_ends_the_other_programs_too() -> None:
    """The first waits for an expert shard when the kernel of the second one fails."""
    ended: list[str] = []

    def waits() -> Program[str]:
        try:
            rows, ids = np.ones((1, 1), np.float32), np.zeros((1, 1), np.int32)
            yield Experts(0, rows, ids, rows)
            return "never"
        finally:
            ended.append("waits")

    def fails() -> Program[str]:
        try:
            yield Compute(STEP, broken, ())
            return "never"
        finally:
            ended.append("fails")

    async def job(bench: Bench) -> None:
        lanes = [
            Lane(Batch(items_of(sequences([[1]]))), program, None) for program in (waits(), fails())
        ]
        with pytest.raises(ArithmeticError):
            await interpreter(bench.node("chip")).run(lanes, TABLE)
        assert ended == ["waits", "fails"], "both were waiting for what they asked for"
        assert all(lane.result is None for lane in lanes)

    gc.disable()  # it would close what nobody refers to, some time
    try:
        Bench("chip", "shard-0").run(job)
    finally:
        gc.enable()
