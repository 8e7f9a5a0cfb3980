"""What the router makes of a prompt."""

import pytest

from cluster.worlds.virtual import VirtualWorld
from tests.cluster.router.outage import router_of
from tests.cluster.worlds.cluster import ask, blueprint, prompt, request, run


@pytest.mark.parametrize(("caching", "num_hashes"), [(True, 2), (False, 0)])
def test_prompts_are_hashed_where_chips_find_them_again(caching: bool, num_hashes: int) -> None:
    """40 tokens are two full blocks of 16. Where nothing is found again, a chip that computed a
    prompt is no better than another, and each request needs all its blocks for itself.
    """

    async def job(world: VirtualWorld) -> None:
        await ask(world, request("r", prompt_ids=prompt(0, 40), max_tokens=1))
        assert len(router_of(world).state.chips["prefill-0"].prefixes) == num_hashes

    changes = {"model.enable_prefix_caching": caching, "placement.kv_pool": False}
    run(blueprint(changes), job)
