"""A shard that is behind has a long queue; nobody is refused for it."""

from tests.workers.bench import SECOND_NS, Bench
from tests.workers.experts.toy import NUM_EXPERTS, cluster, serve, side, tokens
from tests.workers.wire.calls import assert_idle

CHIPS, EACH = 20, 256
OWNER = [0] * NUM_EXPERTS


def test_all_that_credits_let_in_may_wait_for_one_shard() -> None:
    """20 chips with 256 credits each make 5,120 dispatches before the shard begins: all are summed,
    and the report knows of 5,120 (beyond 4,096 they were answered with queue_full).
    """
    chips = tuple(f"chip-{i}" for i in range(CHIPS))
    batch = tokens(1, 1, 1)

    async def job(bench: Bench) -> int:
        sides = [side(bench, OWNER, chip) for chip in chips]
        sent = [
            (one, await one.dispatch_send(batch, 10 * SECOND_NS))
            for _ in range(EACH)
            for one in sides
        ]
        await bench.clock.wait_until(SECOND_NS // 100)
        serve(bench)
        for one, handle in sent:
            await one.combine_receive(handle)
        assert_idle(bench)
        return bench.nodes["shard-0"].queues["dispatches of shard-0"].length

    bench, _ = cluster(OWNER, chips)
    assert bench.run(job) == CHIPS * EACH
