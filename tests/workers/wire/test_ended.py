"""What was ended stays ended, however late a call from before comes, whatever came between."""

from typing import Any

import pytest

from cluster.router.router import Router
from cluster.worlds.virtual import VirtualWorld
from tests.cluster.worlds.cluster import blueprint, prompt, run, workers_of
from tests.workers.wire.calls import Each
from tests.workers.wire.parcel import Parcel
from workers.chip.chip import Chip
from workers.errors import Cancelled, DeadlineExceeded
from workers.model.sampling_params import SamplingParams
from workers.wire.ended import Ended
from workers.wire.kind import Kind
from workers.wire.kinds.chip import Abort, ChipState, Generate, Prefill, Reserve
from workers.wire.message import Message
from workers.wire.rules import Delay, Drop, Pass, Verdict

# More than any memory that was ever bounded by count.
MANY = 5_000


def said(name: str, number: int, concluded: int = 1, epoch: int = 1) -> Message[Any]:
    return Message(
        Parcel(), "router", "chip", source_epoch=epoch, message_id=number, request_id=name,
        concluded=concluded,
    )  # fmt: skip


def test_an_end_is_known_while_what_came_before_it_may_still_come() -> None:
    """Call 1 is open all the time: whatever is older than an end may still be on its way."""
    ended = Ended()
    for number in range(MANY):
        ended.note(said(f"r{number}", 3 + 2 * number))
    assert len(ended) == MANY
    for number in (0, 1, MANY - 1):
        with pytest.raises(Cancelled, match=f"r{number} was ended before its parcel came"):
            ended.check(said(f"r{number}", 2 + 2 * number))
        ended.check(said(f"r{number}", 4 + 2 * number))
    ended.check(said("another", 2))


def test_what_is_concluded_is_forgotten() -> None:
    """With nothing open before it, each end is alone: the wire knows what is older."""
    ended = Ended()
    for number in range(2, MANY):
        ended.note(said(f"r{number}", number, concluded=number))
        assert len(ended) == 1


def test_another_incarnation_begins_anew() -> None:
    ended = Ended()
    ended.note(said("r", 9))
    ended.check(said("r", 1, epoch=2))
    ended.note(said("s", 5, epoch=2))
    ended.check(said("r", 1, epoch=2))
    assert len(ended) == 1


LATE_NS = 20_000_000
WANTED: dict[str, Kind[Any]] = {
    "reserve": Reserve(prompt(1), SamplingParams(), 10**9),
    "prefill": Prefill(prompt(1), SamplingParams(), "decode-1", 0, 10**9),
    "generate": Generate(prompt(1), SamplingParams(), 10**9),
}


@pytest.mark.parametrize("kind", list(WANTED))
def test_a_call_that_comes_after_many_ends_begins_nothing(kind: str) -> None:
    """It is 20 ms late and was given up after 0.1 ms; an abort and 5,000 others came between, while
    an older call had no answer. The chip holds nothing then: 0 jobs, 0 blocks.
    """

    async def job(world: VirtualWorld) -> None:
        (router,) = workers_of(world, Router).values()
        chip, port, clock = workers_of(world, Chip)["decode-0"], router.port, world.clock

        def verdict(_: int, message: Message[Any]) -> Verdict:
            if isinstance(message.content, ChipState):
                return Drop()
            return Delay(LATE_NS) if message.kind == kind else Pass()

        world.nodes["router"].endpoint.rules["late"] = Each(verdict)

        async def call(content: Kind[Any], name: str, within_ns: int) -> Any:
            deadline_ns = clock.now() + within_ns
            return await port.call("decode-0", content, deadline_ns=deadline_ns, request_id=name)

        older = await port.post("decode-0", ChipState(), deadline_ns=clock.now() + 10 * LATE_NS)
        begun_ns = clock.now()
        with pytest.raises(DeadlineExceeded):
            await call(WANTED[kind], "victim", 100_000)
        await call(Abort(), "victim", 10**9)
        for number in range(MANY):
            await call(Abort(), f"other {number}", 10**9)
        assert clock.now() - begun_ns > LATE_NS, "it has come by now"
        await clock.wait_until(clock.now() + 2 * LATE_NS)
        assert (chip.held()["jobs"], chip.held()["blocks"]) == (0, 0)
        older.abandon()

    run(blueprint({"placement.kv_pool": False}), job)
