"""Ranks of one group on a bench of nodes."""

from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.schema.collectives import Operation
from tests.workers.bench import SECOND_NS, Bench
from workers.collectives.group import Group
from workers.collectives.member import Collectives
from workers.collectives.switch import ReducingSwitch

Asked = Callable[[Group, int], Awaitable[Any]]
SWITCH = "switch-0"


def names(num_ranks: int) -> tuple[str, ...]:
    return tuple(f"chip-{rank}" for rank in range(num_ranks))


def shares(num_ranks: int, num_tokens: int, width: int) -> list[NDArray[np.float64]]:
    """Of sizes so unlike that any other order of adding gives other bits."""
    rng = np.random.default_rng(num_ranks)
    size = (num_ranks, num_tokens, width)
    return list(rng.normal(size=size) * 10.0 ** rng.integers(-8, 8, size=size))


def join(
    bench: Bench, worker: str, members: tuple[str, ...], num_ranks: int, timeout_ns: int = SECOND_NS
) -> Group:
    return Collectives(bench.node(worker), worker).join("tp", members, timeout_ns, num_ranks)


class Ranks:
    """What each rank has of a group; with a switch that adds, if one is asked for."""

    def __init__(
        self, bench: Bench, num_ranks: int, switch: Operation | None, timeout_ns: int = SECOND_NS
    ) -> None:
        workers = names(num_ranks)
        members = workers if switch is None else (*workers, SWITCH)
        self.groups = [join(bench, worker, members, num_ranks, timeout_ns) for worker in workers]
        self.all = list(self.groups)
        if switch is not None:
            node = bench.node(SWITCH)
            joined = Collectives(node, SWITCH), SWITCH, "tp", workers, timeout_ns, switch
            self.all.append(ReducingSwitch(node, *joined).group)

    async def ask(self, asked: Asked) -> list[Any]:
        """Each rank asks for the same; what each received."""
        begun = [await asked(group, rank) for rank, group in enumerate(self.groups)]
        return [await collective.receive() for collective in begun]

    def assert_idle(self) -> None:
        assert not any(group.num_open() for group in self.all)


def run(
    num_ranks: int, asked: Asked, *, switch: Operation | None = None, **options: Any
) -> list[Any]:
    """Once, and then all are idle."""

    async def job(bench: Bench) -> list[Any]:
        ranks = Ranks(bench, num_ranks, switch)
        received = await ranks.ask(asked)
        await bench.clock.wait_until(bench.clock.now() + SECOND_NS // 2)
        ranks.assert_idle()
        return received

    return Bench(*names(num_ranks), SWITCH, **options).run(job)


def switch_for(operation: Operation, algorithm: str) -> Operation | None:
    return operation if algorithm == "in_network" else None
