"""A node's tasks share its fate."""

import asyncio

import pytest

from tests.workers.bench import Bench
from tests.workers.wire.parcel import Parcel


def test_a_crash_ends_every_task_and_waits_for_it() -> None:
    async def job(bench: Bench) -> None:
        node, ended = bench.nodes["a"], []

        async def work(name: str) -> None:
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                ended.append(name)

        for name in ("one", "two"):
            node.spawn(work(name), name)
        await bench.clock.wait_until(10)
        assert node.num_tasks() == 2
        await node.crash()
        assert ended == ["one", "two"]
        await bench.clock.wait_until(11)
        assert node.num_tasks() == 0
        await node.crash()  # nothing is left to crash

    Bench("a").run(job)


def test_a_task_that_nobody_waits_for_fails_loudly() -> None:
    bench = Bench("a")

    async def job(bench: Bench) -> None:
        async def broken() -> None:
            raise RuntimeError("broken")

        bench.nodes["a"].spawn(broken(), "gear")
        await bench.clock.wait_until(10)
        assert bench.nodes["a"].num_tasks() == 0

    bench.run(job, failures_expected=True)
    assert [(task, str(error)) for task, error in bench.failures] == [("a/gear", "broken")]


def test_a_cancelled_task_is_no_failure() -> None:
    async def job(bench: Bench) -> None:
        task = bench.nodes["a"].spawn(bench.clock.wait_until(100), "waits")
        await bench.clock.wait_until(10)
        task.cancel()
        await bench.clock.wait_until(20)
        assert task.cancelled()

    Bench("a").run(job)


def test_a_port_is_for_a_worker_that_stands_here() -> None:
    bench = Bench("a", "b")
    with pytest.raises(AssertionError, match="b does not stand on a"):
        bench.nodes["a"].port("b")


def test_one_kind_has_one_handler() -> None:
    bench = Bench("a")
    bench.port("a").on(Parcel, lambda m: None)
    with pytest.raises(AssertionError, match="already handles parcel"):
        bench.port("a").on(Parcel, lambda m: None)
