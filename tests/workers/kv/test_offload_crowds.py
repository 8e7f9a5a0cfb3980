"""Any crowd of requests over any offload, some given up on the way."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.worlds.virtual import VirtualWorld
from tests.cluster.worlds.cluster import blueprint, run, settle, workers_of
from tests.cluster.worlds.pressure import FEW, expected
from tests.cluster.worlds.test_preempted_crowds import SIZES, Size, crowd
from tests.workers.kv.offloading import DEVICE, TO_SERVERS, to_tier
from workers.chip.chip import Chip

WAYS: dict[str, Any] = {
    "always": to_tier(),
    "small": to_tier(capacity="500 kB"),
    "second": to_tier("second_use"),
    "cost": to_tier("write_cost"),
    "servers": TO_SERVERS,
    "two chips": {
        **FEW,
        "cluster.nodes.prefill.device": DEVICE,
        "cluster.nodes.decode": {"workers": ["decode"], "device": DEVICE, "link": "lowlat-2us"},
        "placement.kv_offload": {"tier": "ssd", "capacity": "100 MB"},
    },
}


@settings(max_examples=20)
@given(
    way=st.sampled_from(sorted(WAYS)),
    num_blocks=st.integers(8, 16),
    sizes=st.lists(SIZES, min_size=2, max_size=10),
    pool=st.booleans(),
    apart_ns=st.sampled_from([0, 20_000]),
)
def test_whatever_is_asked_and_given_up_tokens_are_the_reference_s(
    way: str, num_blocks: int, sizes: list[Size], pool: bool, apart_ns: int
) -> None:
    async def job(world: VirtualWorld) -> None:
        heard = await crowd(world, sizes, apart_ns)
        for number, (one, (length, max_tokens, cut_us)) in enumerate(
            zip(heard, sizes, strict=True)
        ):
            whole = expected(number % 3, length, max_tokens)
            assert one.tokens == whole[: len(one.tokens)]
            assert cut_us is not None or (one.code, len(one.tokens)) == ("", max_tokens)
        await settle(world)
        for chip in workers_of(world, Chip).values():
            chip._scheduler.check_integrity()

    changes = {
        **WAYS[way],
        "model.num_kv_blocks": num_blocks,
        "model.max_model_len": 128,
        "placement.kv_pool": pool,
    }
    run(blueprint(changes), job)
