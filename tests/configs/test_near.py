"""KV beside memory servers: what the plan says of it, and what it refuses."""

import pytest

from configs.plan import MemoryPlan
from tests.configs.test_plan import plan, problems


def near(**values: object) -> dict[str, object]:
    return {"placement.kv_near": values}


@pytest.mark.parametrize(
    ("dtype", "changes", "engine"),
    [
        ("bf16", {}, "base-die"),
        ("fp32", {}, "compute"),
        ("bf16", {"placement.engines": "main"}, "compute"),
        ("bf16", {"cluster.nodes.pnm.device": "pnm-cxl"}, "compute"),
    ],
)
def test_the_engine_beside_the_pools_tier_attends(
    dtype: str, changes: dict[str, object], engine: str
) -> None:
    on_die = {"cluster.nodes.hbf": None, "cluster.nodes.pnm.device": "b200-base-die"}
    made = plan({**near(), "model.dtype": dtype, **on_die, **changes})
    server = made.worker("memory-0")
    assert isinstance(server, MemoryPlan)
    assert server.near_engine == engine


def test_a_memory_servers_room_lies_in_the_pools_tier() -> None:
    made = plan(near(blocks=100))
    server, without = made.worker("memory-0"), plan().worker("memory-0")
    assert isinstance(server, MemoryPlan)
    assert isinstance(without, MemoryPlan)
    assert (server.near_blocks, without.near_blocks) == (100, 0)
    fills = {f.what: f.num_bytes for f in made.node(server.node).fills[server.pool_tier]}
    assert fills["kv"] == 100 * made.kv_block_bytes
    assert server.pool_bytes < without.pool_bytes


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            {
                **near(),
                "cluster.nodes.hbf": None,
                "cluster.nodes.pnm": None,
                "placement.kv_pool": False,
                "placement.collections": None,
                "workload.prompts.questions.retrieval": None,
            },
            "placement.kv_near: needs a memory server and there is none",
        ),
        ({**near(blocks=2**30)}, "placement.kv_near.blocks: is 1073741824 for cluster.nodes.hbf"),
        ({**near(), "model.block_size": 8}, "placement.kv_near: is given, and"),
        (
            {
                **near(),
                "model.dtype": "bf16",
                "model.kv_cache_dtype": "int8",
                "cluster.nodes.pnm.device.compute.int8": None,
            },
            "placement.kv_near.mode: is 'near', and pnm-cxl in cluster.nodes.pnm has no int8 rate",
        ),
    ],
)
def test_what_cannot_be_is_refused_by_its_key(overrides: dict[str, object], message: str) -> None:
    found = problems(overrides)
    assert any(message in line for line in found), found


def test_where_there_is_none_nothing_is_said_of_it() -> None:
    """A chip that is too small has that one problem."""
    small = {"cluster.nodes.decode.device.tiers.hbm.capacity": "2 MB"}
    (problem,) = problems(small)
    assert "weights" in problem and "kv_near" not in problem
