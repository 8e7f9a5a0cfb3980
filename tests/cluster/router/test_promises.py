"""What promises or takes something waits for the journal; what only tells does not."""

import asyncio

from cluster.router.journal.journal import Journal
from cluster.router.machine.state import RouterState
from cluster.router.router import Router
from cluster.worlds.virtual import VirtualWorld
from tests.cluster.worlds.cluster import ask, blueprint, request, run, settle, workers_of
from workers.errors import PerfuseError
from workers.host.trace import Delivered

NO_POOL = {"placement.kv_pool": False}
SYNC_NS = 500_000


class SlowJournal:
    """Every sync takes SYNC_NS of emulated time, or never succeeds."""

    def __init__(self, world: VirtualWorld, journal: Journal, *, fails: bool = False) -> None:
        self._clock, self._journal, self._fails = world.clock, journal, fails
        self.appended_ns = self._clock.now()

    @property
    def is_committed(self) -> bool:
        return self._clock.now() >= self.appended_ns + SYNC_NS

    def append(self, record: bytes, state: RouterState) -> None:
        self.appended_ns = self._clock.now()
        self._journal.append(record, state)

    async def committed(self) -> None:
        await self._clock.wait_until(self.appended_ns + SYNC_NS)
        if self._fails:
            raise PerfuseError("the router's journal cannot be written: it is full")


def slow(world: VirtualWorld, *, fails: bool = False) -> SlowJournal:
    (router,) = workers_of(world, Router).values()
    journal = router.ledger._journal
    assert journal is not None
    slowed = SlowJournal(world, journal, fails=fails)
    router.ledger._journal = slowed  # type: ignore[assignment]
    return slowed


def heard_ns(world: VirtualWorld, kind: str) -> list[int]:
    return [r.at_ns for r in world.trace.records if isinstance(r, Delivered) and r.kind == kind]


def test_an_answer_and_a_reserve_wait_for_their_events_and_tokens_for_nothing() -> None:
    async def job(world: VirtualWorld) -> None:
        calm = await ask(world, request("calm"))
        await settle(world)
        world.trace.records.clear()
        begun_ns = world.clock.now()
        slow(world)
        heard = await ask(world, request("r", max_tokens=8))
        assert heard.tokens == calm.tokens
        assert heard_ns(world, "reserve")[0] - begun_ns > SYNC_NS
        assert heard_ns(world, "prefill")[0] - heard_ns(world, "reserve")[0] < SYNC_NS
        told_ns = heard_ns(world, "outputs")
        assert len(told_ns) == 8 and told_ns[-1] - told_ns[0] < SYNC_NS
        await settle(world)

    run(blueprint(NO_POOL), job)


def test_a_journal_that_fails_ends_requests_clearly_and_takes_nothing() -> None:
    async def job(world: VirtualWorld) -> None:
        slow(world, fails=True)
        heard = await ask(world, request("r"))
        assert "cannot be written" in str(heard.error or heard.last.error)
        assert not heard.tokens and not heard_ns(world, "reserve")
        await settle(world)

    run(blueprint(NO_POOL), job)


def test_what_ended_while_its_promise_waited_is_not_asked_for() -> None:
    async def job(world: VirtualWorld) -> None:
        slow(world)
        task = world.gateway.spawn(ask(world, request("r")), "ask")
        await world.clock.wait_until(world.clock.now() + SYNC_NS // 2)
        task.cancel()
        await asyncio.sleep(0)
        await settle(world)
        assert not heard_ns(world, "reserve")

    run(blueprint(NO_POOL), job)
