"""Collections whose vectors do not fit the tiers of their memory servers."""

from configs.plan.collections import collection_problems
from tests.configs.test_plan import plan

# The demo's first server has nothing else in its flash; with a pool there, half is left.
IN_FLASH = {"cluster.nodes.hbf.device.tiers.hbf.capacity": "100 MB"}


def test_what_does_not_fit_is_told_with_what_would() -> None:
    """90 % of 100 MB; 99 MB are 90 % of 110 MB."""
    made = plan(IN_FLASH)
    assert collection_problems(made, 0.9, {"memory-0": 90_000_000, "memory-1": 10**9}) == []
    (problem,) = collection_problems(made, 0.9, {"memory-0": 99_000_000})
    assert problem.startswith("cluster.nodes.hbf: 99 MB of vectors do not fit tier hbf of hbf-gen1")
    assert "room for 90 MB" in problem and problem.endswith("a device with at least 110 MB")


def test_a_pool_in_the_same_tier_leaves_them_half() -> None:
    made = plan({**IN_FLASH, "cluster.nodes.hbf.tiers.pool": "hbf"})
    assert collection_problems(made, 0.9, {"memory-0": 45_000_000}) == []
    (problem,) = collection_problems(made, 0.9, {"memory-0": 45_000_001})
    assert "beside 45 MB of pool it has room for 45 MB" in problem
