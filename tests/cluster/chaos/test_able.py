"""Who could have served a request that others lost: what the third law is told."""

from collections.abc import Mapping

from cluster.chaos.able import others_stand
from cluster.chaos.away import Away
from cluster.worlds.blueprint import Blueprint
from configs.schema import load_scenario
from workers.host.clock.virtual import VirtualClock


def stands(changes: Mapping[str, object], *gone: str) -> bool:
    blueprint = Blueprint.draw(load_scenario("demo", {"model.numerics": "digest", **changes}))
    away = Away(VirtualClock())
    for node in gone:
        away.leaves(node)
    return others_stand(blueprint.plan, away, 0, 100)


def test_a_shard_that_alone_holds_experts_is_missed() -> None:
    assert stands({})
    assert not stands({}, "experts-1")


def test_a_spare_stands_in_for_it_and_copies_do() -> None:
    spare = {"cluster.nodes.experts.spares": 1}
    assert stands(spare, "experts-1")
    copies = {"placement.experts.replicas": dict.fromkeys(range(8), 1)}
    assert stands(copies, "experts-1")
    assert not stands(copies, "experts-0", "experts-1", "experts-2", "experts-3")


def test_of_each_role_one_chip_is_needed() -> None:
    assert not stands({}, "prefill-0")
    two = {"cluster.nodes.decode.count": 2}
    assert stands(two, "decode-1") and not stands(two, "decode-0", "decode-1")
    assert not stands({}, "gateway") and not stands({}, "router")
