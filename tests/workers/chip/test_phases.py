"""Which part of a request's time a step belongs to."""

import pytest

from cluster.worlds.virtual import VirtualWorld
from tests.cluster.worlds.cluster import ask, blueprint, prompt, request, run

NO_POOL = {"placement.kv_pool": False}


def phases(length: int, max_tokens: int) -> dict[str, int]:
    """A request alone in a world: phase -> emulated nanoseconds."""

    async def job(world: VirtualWorld) -> dict[str, int]:
        wanted = request("r", prompt_ids=prompt(0, length), max_tokens=max_tokens)
        return dict((await ask(world, wanted)).last.times)

    return run(blueprint(NO_POOL), job)


@pytest.mark.parametrize("length", [1, 2, 40])
def test_the_first_token_s_step_is_prefill_and_all_others_are_decode(length: int) -> None:
    """A prompt of one token is prefilled, too, though its step looks like one of decode. What a
    first token takes does not depend on how many follow, and each of those takes about as much.
    """
    one, three, five = (phases(length, max_tokens) for max_tokens in (1, 3, 5))
    assert one["prefill"] > 0
    assert one["prefill"] == three["prefill"] == five["prefill"]
    for phase in ("attention", "expert_wait"):
        assert one.get(phase, 0) == 0, "nothing was decoded"
        assert three[phase] > 0
        # Two steps and four: twice as much, but for the keys that are one more each time.
        assert five[phase] == pytest.approx(2 * three[phase], rel=0.1)
