"""A tour: a cluster in virtual time answers eight readers while one part after the other breaks.

It stands still between two acts, so that what is said can be read; emulated time does not notice.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from cluster.chaos.experiments.measures import (
    Phase,
    Told,
    lost_tokens,
    repeated_tokens,
    wrong_tokens,
)
from cluster.chaos.staging import Stage
from cluster.chaos.trial import Ask
from cluster.faults.rules import put, take_out
from cluster.faults.written import read_fault
from cluster.worlds.blueprint import Blueprint
from cluster.worlds.virtual import VirtualWorld, run_virtual
from configs.schema import load_scenario
from workers.errors import PerfuseError
from workers.host.rng import Rng

READERS, TOKENS, PROMPT = 8, 160, 40
# Emulated: how long an act is watched, and how long the router is away in its own.
WATCHED_NS, AWAY_NS = 1_200_000, 1_000_000
CLUSTER: dict[str, object] = {
    "cluster.world": "virtual",
    "cluster.router_journal": True,
    "cluster.nodes.experts.count": 2,
    "cluster.nodes.experts.spares": 1,
    "model.numerics": "digest",
    "placement.collections": None,
    "workload.prompts.questions.retrieval": None,
}
CORRUPT = {
    "type": "corrupt", "source": "decode-0", "destination": "router", "kind": "tokens",
    "toxicity": 0.5,
}  # fmt: skip
LINK = "tour"


@dataclass(frozen=True, slots=True)
class Act:
    """title, watch   what happens, and what to look at       do   it"""

    title: str
    watch: str
    do: Callable[[VirtualWorld], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Heard:
    """After an act: tokens that all readers have, how many came since, and the longest gap."""

    now_ns: int
    tokens: int
    since: int
    gap_ns: int


async def _nothing(world: VirtualWorld) -> None:
    """The first act: all is well."""


async def _expert_dies(world: VirtualWorld) -> None:
    await world.kill("experts-1")


async def _decode_chip_dies(world: VirtualWorld) -> None:
    await world.kill("decode-1")


async def _link_corrupts(world: VirtualWorld) -> None:
    seed = world.blueprint.scenario.seed
    for member in world.members:
        endpoint = world.nodes[member.node].endpoint
        put(endpoint, LINK, read_fault(CORRUPT), world.blueprint.plan.directory, Rng(seed))
        endpoint.has_faults = True


async def _router_restarts(world: VirtualWorld) -> None:
    for member in world.members:
        take_out(world.nodes[member.node].endpoint, LINK)
    await world.kill("router")
    await world.clock.wait_until(world.clock.now() + AWAY_NS)
    await world.revive("router")


ACTS: Sequence[Act] = (
    Act("all is well", "eight readers, a token each every 50 us or so", _nothing),
    Act("expert shard experts-1 dies, for good",
        "a spare holds its experts: the step that asked it asks the spare", _expert_dies),
    Act("decode chip decode-1 dies, for good",
        "its readers' answers begin anew on decode-0; what they have is not told again",
        _decode_chip_dies),
    Act("half of all messages with tokens arrive damaged",
        "checksums find each, and it is sent again", _link_corrupts),
    Act("the router dies, and is back after 1 ms",
        "nobody hears anything meanwhile; it reads its journal, and every stream goes on",
        _router_restarts),
)  # fmt: skip
OnAct = Callable[[int, Act], None]
OnHeard = Callable[[Heard], None]


class Tour:
    """`run` returns what the readers heard, in all; pause_s: how long each act can be read."""

    def __init__(self, on_act: OnAct, on_heard: OnHeard, pause_s: float) -> None:
        self._on_act, self._on_heard, self._pause_s = on_act, on_heard, pause_s
        self._stage = Stage(Blueprint.draw(load_scenario("demo", CLUSTER)))

    def run(self) -> Phase:
        return run_virtual(self._stage.blueprint, self._acts)

    async def _acts(self, world: VirtualWorld) -> Phase:
        phase, loop = Phase("tour"), asyncio.get_running_loop()
        tasks = []
        for number in range(READERS):
            ask = Ask(f"reader-{number}", (number, PROMPT, 0), TOKENS, 0, 0.8)
            told = Told(ask.name, self._stage.right(ask))
            phase.told.append(told)
            tasks.append(loop.create_task(self._read(world, ask, told), name=ask.name))
        for number, act in enumerate(ACTS, 1):
            self._on_act(number, act)
            since_ns, before = world.clock.now(), _tokens(phase)
            await act.do(world)
            await world.clock.wait_until(world.clock.now() + WATCHED_NS)
            now_ns, tokens = world.clock.now(), _tokens(phase)
            self._on_heard(Heard(now_ns, tokens, tokens - before, _longest(phase, since_ns)))
            self._stand_still()
        await asyncio.gather(*tasks)
        phase.ended_ns = world.clock.now()
        return phase

    def _stand_still(self) -> None:
        """The world too: it has no time but its own."""
        time.sleep(self._pause_s)

    async def _read(self, world: VirtualWorld, ask: Ask, told: Told) -> None:
        try:
            async for output in world.client.submit(self._stage.request(ask)):
                told.take(output)
                if output.token_ids:
                    told.arrivals.append((world.clock.now(), len(output.token_ids)))
        except PerfuseError as error:
            told.failed(error.code, error.message)
        told.ended_ns = world.clock.now()


def faults_of(phase: Phase) -> dict[str, int]:
    """What readers can complain about: all must be 0."""
    return {
        "answers that are not whole": sum(not one.is_answered for one in phase.told),
        "wrong tokens": wrong_tokens(phase),
        "lost tokens": lost_tokens(phase),
        "repeated tokens": repeated_tokens(phase),
    }


def _tokens(phase: Phase) -> int:
    return sum(len(one.tokens) for one in phase.told)


def _longest(phase: Phase, since_ns: int) -> int:
    """Gap within a stream that ended since then."""
    gaps = [gap for one in phase.told for gap in one.gaps()]
    return max((to - begun for begun, to, is_first in gaps if to > since_ns and not is_first),
               default=0)  # fmt: skip
