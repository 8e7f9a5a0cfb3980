"""One trial, from its data to what it showed: a safety phase under faults, healing, and then
a liveness phase in which everything asked must be answered.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Sequence

from cluster.api.output import Output
from cluster.chaos.able import others_stand
from cluster.chaos.deeds import Deeds
from cluster.chaos.heard import Heard
from cluster.chaos.injecting import Injector
from cluster.chaos.inside import held, read_damaged
from cluster.chaos.kinds import CLOCKS
from cluster.chaos.laws import clean, ends, exact, honest, once
from cluster.chaos.points import WATCHING
from cluster.chaos.resending import read_twice
from cluster.chaos.staging import Stage, Stages
from cluster.chaos.trial import Ask, Seen, Trial
from cluster.chaos.world import ChaosWorld, run_chaos
from cluster.worlds.virtual import WorkerFailed
from configs.plan import NodePlan
from workers.errors import PerfuseError
from workers.host.clock.virtual import VirtualDeadlock
from workers.host.trace import Delivered

# Looks at whether all is quiet, each after a call's time.
LOOKS_MAX = 100
# Asked one after the other when all is healed, before each chip is filled.
NUM_CALM = 3


def run_trial(trial: Trial, stages: Stages) -> Seen:
    """Raises ScenarioError where its scenario cannot be."""
    return TrialRun(trial, stages.of(trial)).run()


class TrialRun:
    """One run of one trial."""

    def __init__(self, trial: Trial, stage: Stage) -> None:
        self._trial, self._stage, self.seen = trial, stage, Seen(trial.name)
        self._heard: list[Heard] = []
        blueprint = stage.blueprint
        self._deadline_ns, self._look_ns = blueprint.deadline_ns, blueprint.timeout_ns
        self._world = ChaosWorld(
            blueprint,
            lambda node: self._injector.placed(node),
            stopped=nodes_of(trial, ("pause",), blueprint.plan.nodes),
            filled=nodes_of(trial, ("disk_full",), blueprint.plan.nodes),
            skewed=nodes_of(trial, CLOCKS, blueprint.plan.nodes),
        )
        clock, seed = self._world.clock, blueprint.scenario.seed
        self._injector = Injector(trial.faults, seed, clock, self.seen)
        experts = blueprint.scenario.placement.experts
        self._is_approximate = experts.on_timeout == "replace"
        # Kind -> messages of the safety phase.
        self.sent_first: dict[str, int] = {}

    @property
    def longest_ns(self) -> int:
        """What the longest request took that ended."""
        took = [one.ended_ns - one.asked_ns for one in self._heard if one.ended_ns is not None]
        return max(took, default=0)

    def run(self) -> Seen:
        seen = self.seen
        try:
            run_chaos(self._world, self._phases)
        except VirtualDeadlock as hang:
            seen.broken.append(f"ends: nothing can ever happen again: {hang}")
        except WorkerFailed as failed:
            seen.broken.append(f"works: {failed}")
        except AssertionError as error:
            seen.broken.append(f"clean: a worker's own books are wrong: {error}")
        except Exception as error:  # of whoever was asked, or did not come back: a bug
            seen.broken.append(f"works: {type(error).__name__}: {error}")
        seen.num_tokens = sum(len(one.tokens) for one in self._heard)
        seen.num_answered = sum(one.is_answered for one in self._heard)
        seen.num_failed = sum(bool(one.code) for one in self._heard)
        records = self._world.trace.records
        seen.num_envelopes = sum(isinstance(record, Delivered) for record in records)
        seen.trace_hash = self._world.trace.digest()
        return seen

    async def _phases(self) -> None:
        world, injector = self._world, self._injector
        self._deeds = Deeds(world, self.seen)
        injector.begin(self._deeds)
        await self._ask_all(self._trial.asks, must_end_well=self._trial.is_mild)
        self.sent_first = injector.sent()
        await self._let_go()
        injector.heal()
        await self._deeds.heal()
        self._mark("healed")
        await self._is_quiet()
        calm = list(calm_asks(self._stage, self._trial))
        for ask in calm[:NUM_CALM]:
            await self._ask_all([ask], must_end_well=True)
        await self._ask_all(calm[NUM_CALM:], must_end_well=True)
        busy = await self._is_quiet()
        self._judge(busy)

    # -- requests ----------------------------------------------------------------------------------

    async def _ask_all(self, asks: Iterable[Ask], *, must_end_well: bool) -> None:
        """Until each has ended, or its deadline is over."""
        world, loop = self._world, asyncio.get_running_loop()
        begun_ns = latest_ns = world.clock.now()
        tasks: list[asyncio.Task[None]] = []
        for ask in asks:
            at_ns = begun_ns + ask.at_ns
            heard = Heard(ask.name, self._stage.right(ask), at_ns, at_ns + self._deadline_ns)
            heard.must_end_well, latest_ns = must_end_well, max(latest_ns, heard.deadline_ns)
            self._heard.append(heard)
            tasks.append(loop.create_task(self._ask(ask, heard), name=ask.name))
        over = world.clock.call_at(latest_ns + ends.SLACK_NS + 1, _cancel, tasks)
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        for found in ended:
            if isinstance(found, Exception):
                raise found
        over.cancel()

    async def _ask(self, ask: Ask, heard: Heard) -> None:
        world = self._world
        await world.clock.wait_until(heard.asked_ns)
        gateway = world.gateway
        if gateway.name in self._deeds.away.now():
            heard.is_orphan = True
            return
        stream = self._stream(ask, heard)
        try:
            async for output in stream:
                heard.take(output)
                if ask.leaves_after is not None and len(heard.tokens) >= ask.leaves_after:
                    heard.left = not heard.finish_reason
                    break
        except PerfuseError as error:
            heard.failed(error.code, error.message)
        finally:
            now_ns = world.clock.now()
            heard.is_orphan = self._deeds.away.was(gateway.name, heard.asked_ns, now_ns)
        heard.ended_ns = now_ns
        heard.whole_since_ns = max(
            heard.asked_ns, self._injector.wrong_until_ns(), self._deeds.wrong_until_ns()
        )
        heard.is_unwritten = bool(self._deeds.filled)
        heard.could_go_on = not self._injector.is_hindered and others_stand(
            world.blueprint.plan, self._deeds.away, heard.asked_ns, now_ns
        )
        self.seen.marks.append((heard.asked_ns, 2, ask.name, "asked"))
        how = heard.code or ("left" if heard.left else heard.finish_reason)
        self.seen.marks.append((heard.ended_ns, 2, ask.name, how))
        await stream.aclose()

    def _stream(self, ask: Ask, heard: Heard) -> AsyncGenerator[Output, None]:
        """Approximate answers may be others when they are computed again: nobody goes on in one."""
        client, request = self._world.client, self._stage.request(ask)
        if ask.resends_after is None or self._is_approximate:
            return client.submit(request)
        clock = self._world.clock
        return read_twice(client, request, ask.resends_after, clock, heard.deadline_ns)

    # -- before healing ----------------------------------------------------------------------------

    async def _let_go(self) -> None:
        """When every deadline is over those that live hold nothing for requests, whatever is cut
        or slow: not all must be told.
        """
        world = self._world
        left: dict[str, int] = {}
        for _ in range(LOOKS_MAX):
            read_damaged(world, self._deeds.damaged, self._deeds.away.now())
            left = held(world, healed=False, dead=self._deeds.away.now())
            if not left:
                return
            await world.clock.wait_until(world.clock.now() + self._deadline_ns)
        self.seen.broken += [
            f"clean: {what} is {count} when every deadline is long over"
            for what, count in left.items()
        ]

    # -- quiet -------------------------------------------------------------------------------------

    async def _is_quiet(self) -> dict[str, int]:
        """Wait until nothing is late and nobody says anything for a call's time; kind -> messages
        that were still sent in the last one, after the longest wait.
        """
        world, injector, busy = self._world, self._injector, dict[str, int]()
        until_ns = max(injector.late_until_ns, self._deeds.wrong_until_ns())
        await world.clock.wait_until(until_ns)
        for _ in range(LOOKS_MAX):
            injector.forget_sent()
            await world.clock.wait_until(world.clock.now() + self._look_ns)
            busy = {word: n for word, n in injector.sent().items() if word not in WATCHING}
            if not busy:
                return {}
        return busy

    def _mark(self, what: str) -> None:
        self.seen.marks.append((self._world.clock.now(), 0, "all", what))

    # -- laws --------------------------------------------------------------------------------------

    def _judge(self, busy: dict[str, int]) -> None:
        heard, broken = self._heard, self.seen.broken
        broken += exact.broken(heard)
        broken += once.broken(heard)
        broken += ends.broken(heard, self._world.clock.now())
        broken += honest.broken(heard, is_allowed=self._is_approximate)
        held_now, torn = dict[str, int](), list[str]()
        read_damaged(self._world, self._deeds.damaged)
        try:
            held_now = held(self._world, healed=True)
        except AssertionError as error:
            torn.append(f"a worker's own books are wrong: {error}")
        broken += clean.broken(busy, held_now, torn)


def nodes_of(trial: Trial, kinds: Sequence[str], nodes: Sequence[NodePlan]) -> frozenset[str]:
    """Those that faults of some kinds may be about."""
    found = [fault for fault in trial.faults if fault.what in kinds]
    if any(fault.is_aimed for fault in found):
        return frozenset(node.name for node in nodes)
    return frozenset(fault.nodes[0] for fault in found)


def _cancel(tasks: "list[asyncio.Task[None]]") -> None:
    for task in tasks:
        task.cancel()


def calm_asks(stage: Stage, trial: Trial) -> Iterable[Ask]:
    """What is asked when all is healed: a few like those before, one after the other; then, for
    each chip that decodes, one that needs every block that a sequence may have: where blocks are
    lost or slots taken, there is no room for it.
    """
    for number, ask in enumerate(trial.asks[:NUM_CALM]):
        yield Ask(f"calm-{number}", ask.prompt, ask.max_tokens, 0, ask.temperature)
    plan = stage.blueprint.plan
    length = plan.max_model_len - 1
    for number in range(len(plan.names("decode")) + len(plan.names("chip"))):
        yield Ask(f"whole-{number}", (1_000 + number, length, 0), 1)
