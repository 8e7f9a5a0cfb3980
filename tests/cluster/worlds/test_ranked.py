"""Which nodes' tokens for experts cross shared memory."""

from collections.abc import Mapping

import pytest

from cluster.worlds.blueprint import Blueprint
from cluster.worlds.ranked import ARENA_BYTES_MAX, ranked_nodes
from configs.schema import load_scenario
from tests.workers.wire.transport.wires import NEEDS_SHM

pytestmark = NEEDS_SHM

REAL: Mapping[str, object] = {
    "cluster.world": "local",
    "cluster.emulation": False,
    "cluster.dilation": 1,
}


def blueprint(changes: Mapping[str, object]) -> Blueprint:
    return Blueprint.draw(load_scenario("demo", {**REAL, **changes}))


def test_chips_come_first_and_shards_in_the_order_in_which_sums_merge() -> None:
    found = ranked_nodes(blueprint({}))
    assert found is not None
    nodes, geometry = found
    assert nodes == (
        "prefill-0", "decode-0", "decode-1", "experts-0", "experts-1", "experts-2", "experts-3",
    )  # fmt: skip
    assert (geometry.world, geometry.send, geometry.back) == (7, "fp32", "fp64")
    assert geometry.capacity == 256, "a decode step of all sequences has room"
    assert geometry.layout().arena <= ARENA_BYTES_MAX


def test_an_arena_is_bounded_whatever_a_step_may_hold() -> None:
    steps = {"model.max_num_batched_tokens": 8192, "model.max_num_seqs": 4096}
    found = ranked_nodes(blueprint(steps))
    assert found is not None
    assert 256 < found[1].capacity < 4096
    assert ARENA_BYTES_MAX * 0.9 < found[1].layout().arena <= ARENA_BYTES_MAX


@pytest.mark.parametrize(
    "changes",
    [
        {"cluster.emulation": True, "cluster.dilation": 1000},  # links are charged and held back
        {"cluster.transport": "grpc"},
        {"cluster.nodes.decode.transport": "grpc"},  # all of them, or none
    ],
)
def test_all_others_send_messages(changes: Mapping[str, object]) -> None:
    assert ranked_nodes(blueprint(changes)) is None


def test_rows_and_sums_travel_as_those_of_messages() -> None:
    found = ranked_nodes(blueprint({"model.dtype": "bf16", "model.dispatch_dtype": "int8"}))
    assert found is not None
    assert (found[1].send, found[1].back) == ("int8", "bf16")


def test_a_machine_with_chip_and_shard_has_one_memory_and_needs_no_rank() -> None:
    changes = {
        "cluster.nodes.decode.workers": ["decode", "experts"],
        "cluster.nodes.experts": None,
    }
    assert ranked_nodes(blueprint(changes)) is None
