"""A program in virtual time that is told to end ends, wherever in it the signal came."""

import pytest

from cluster.worlds.virtual import VirtualWorld
from tests.cluster.worlds.cluster import blueprint, run


def test_a_signal_in_a_worker_s_task_ends_the_program_and_is_no_worker_s_failure() -> None:
    """The handler of SIGTERM raises SystemExit in whatever runs just then."""

    async def job(world: VirtualWorld) -> None:
        async def interrupted() -> None:
            raise SystemExit(143)

        world.gateway.spawn(interrupted(), "interrupted")
        await world.clock.wait_until(10**9)

    with pytest.raises(SystemExit, match="143"):
        run(blueprint({}), job)
