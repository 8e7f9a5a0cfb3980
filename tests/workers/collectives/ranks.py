"""Ranks of one group on a bench of nodes."""

from collections.abc import Awaitable, Callable
from typing import Any

from numpy.typing import NDArray

from tests.workers.bench import SECOND_NS, Bench
from workers.collectives.group import Group
from workers.collectives.member import Collectives

Asked = Callable[[Group, int], Awaitable[Any]]


def names(num_ranks: int) -> tuple[str, ...]:
    return tuple(f"chip-{rank}" for rank in range(num_ranks))


def groups_of(bench: Bench, num_ranks: int, timeout_ns: int = SECOND_NS) -> list[Group]:
    """What each rank has of a group."""
    members = names(num_ranks)
    return [
        Collectives(bench.node(worker), worker).join("tp", members, timeout_ns)
        for worker in members
    ]


async def everywhere(groups: list[Group], ask: Asked) -> list[Any]:
    """Each rank asks for the same; what each received, and then all are idle."""
    begun = [await ask(group, rank) for rank, group in enumerate(groups)]
    return [await collective.receive() for collective in begun]


def run(num_ranks: int, ask: Asked, **options: Any) -> list[NDArray[Any]]:
    async def job(bench: Bench) -> list[NDArray[Any]]:
        groups = groups_of(bench, num_ranks)
        received = await everywhere(groups, ask)
        await bench.clock.wait_until(bench.clock.now() + SECOND_NS // 2)
        assert not any(group.num_open() for group in groups)
        return received

    return Bench(*names(num_ranks), **options).run(job)
