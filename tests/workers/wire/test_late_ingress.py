"""A live host is sometimes late: what left long ago is seen after what left later was delivered."""

import asyncio

import pytest

from tests.workers.bench import BYTES_PER_S, make_link, run_alone
from tests.workers.wire.parcel import Parcel
from workers.host.clock.virtual import VirtualClock
from workers.wire.ingress import Ingress
from workers.wire.membership import Member
from workers.wire.message import Message
from workers.wire.peer import Peer


def message(message_id: int, sent_ns: int, num_bytes: int) -> Message[Parcel]:
    return Message(
        Parcel(), "b", "a", message_id=message_id, sent_ns=sent_ns, charged_bytes=num_bytes
    )


@pytest.mark.parametrize("doubled", [False, True])
def test_what_was_delivered_is_not_delivered_again_for_a_late_one(doubled: bool) -> None:
    """A byte a nanosecond. The first, of 1,000 bytes, has the ingress for itself and is there at
    1,000. Then one is seen that began at 500: by the emulated machine they shared, 500 bytes of
    each at half speed, so that it is there at 1,500. The first is known to be there, whatever its
    end would have been.
    """

    async def job(clock: VirtualClock) -> None:
        there: list[tuple[int, int]] = []
        failed: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, what: failed.append(what))
        link = make_link(sharing="fair")
        peer = Peer(Member("b", 1, link), 0, clock)
        ingress = Ingress("a", link, clock, lambda _, m: there.append((m.message_id, clock.now())))
        ingress.arrive(peer, message(1, 0, 1_000))
        await clock.wait_until(1_200)
        assert there == [(1, 1_000)]
        # A rule may have doubled it: the one with its number that comes late is another.
        late = message(1 if doubled else 2, 500, 500)
        ingress.arrive(peer, late)
        await clock.wait_until(5_000)
        assert there == [(1, 1_000), (late.message_id, 1_500)]
        assert not peer.arriving and not failed

    assert BYTES_PER_S == 10**9
    run_alone(job)
