"""Any crowd of requests on little memory, some given up on the way."""

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.worlds.virtual import VirtualWorld
from tests.cluster.worlds.cluster import Heard, ask, blueprint, prompt, request, run, settle
from tests.cluster.worlds.pressure import FEW, PLACES, expected

Size = tuple[int, int, int | None]
# Tokens in, tokens out, and after how many us its reader goes.
SIZES = st.tuples(st.integers(1, 60), st.integers(1, 60), st.none() | st.integers(0, 2_000))


async def crowd(world: VirtualWorld, sizes: list[Size], apart_ns: int) -> list[Heard]:
    heard, tasks = [Heard() for _ in sizes], []
    for number, (length, max_tokens, cut_us) in enumerate(sizes):
        ids = prompt(number % 3, length)
        wanted = request(f"r{number}", prompt_ids=ids, max_tokens=max_tokens)
        task = world.gateway.spawn(ask(world, wanted, heard[number]), wanted.request_id)
        tasks.append(task)
        if cut_us is not None:

            def cut(task: "asyncio.Task[Heard]" = task) -> None:
                task.cancel()

            world.clock.call_at(world.clock.now() + 1_000 * cut_us, cut)
        await world.clock.wait_until(world.clock.now() + apart_ns)
    for task, (_, _, cut_us) in zip(tasks, sizes, strict=True):
        try:
            await task
        except asyncio.CancelledError:
            assert cut_us is not None
    return heard


@settings(max_examples=12)
@given(
    place=st.sampled_from(sorted(PLACES)),
    num_blocks=st.integers(8, 16),
    sizes=st.lists(SIZES, min_size=2, max_size=8),
    caching=st.booleans(),
    pool=st.booleans(),
    apart_ns=st.sampled_from([0, 20_000]),
)
def test_whatever_is_asked_and_given_up_tokens_are_the_reference_s(
    place: str, num_blocks: int, sizes: list[Size], caching: bool, pool: bool, apart_ns: int
) -> None:
    """On room for 128 to 256 tokens."""

    async def job(world: VirtualWorld) -> None:
        heard = await crowd(world, sizes, apart_ns)
        for number, (one, (length, max_tokens, cut_us)) in enumerate(
            zip(heard, sizes, strict=True)
        ):
            whole = expected(number % 3, length, max_tokens)
            assert one.tokens == whole[: len(one.tokens)]
            assert cut_us is not None or (one.code, len(one.tokens)) == ("", max_tokens)
        await settle(world)

    changes = {
        **FEW,
        **PLACES[place],
        "model.num_kv_blocks": num_blocks,
        "model.max_model_len": 128,
        "model.enable_prefix_caching": caching,
        "placement.kv_pool": pool,
    }
    run(blueprint(changes), job)
