"""Whole clusters for tests: a small one in the virtual world, and a look at all that it holds."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, TypeVar

from benchmarks.laws._checks import workers_of as workers_of  # tests take it from here
from cluster.api.output import Output
from cluster.api.request import Request, Retrieval
from cluster.router.router import Router
from cluster.worlds.blueprint import Blueprint
from cluster.worlds.virtual import VirtualWorld, run_virtual
from configs.schema import load_scenario
from workers.chip.chip import Chip
from workers.errors import PerfuseError
from workers.memory.memory_server import MemoryServer
from workers.model.sampling_params import SamplingParams

T = TypeVar("T")

MODEL = "perfuse-tiny"
# Without collections a world stands at once; tests that retrieve ask for them.
SMALL: Mapping[str, object] = {
    "cluster.nodes.experts.count": 2,
    "cluster.router_journal": True,
    "placement.collections": None,
    "workload.prompts.questions.retrieval": None,
    "model.num_kv_blocks": 256,
}


def blueprint(changes: Mapping[str, object] | None = None, *, seed: int = 0) -> Blueprint:
    """The demo with two expert shards, a journal, no collection and few blocks; `changes` go on
    top.
    """
    return _drawn(repr(sorted({**SMALL, **(changes or {})}.items())), seed, (changes or {}))


def with_cards(changes: Mapping[str, object] | None = None, *, seed: int = 0) -> Blueprint:
    """The same with the demo's collection."""
    retrieval = {"store": "cards", "top_k": 3}
    cards = {"path": "perfuse-tiny corpus", "embedder": "hashing"}
    more = {
        "placement.collections": {"cards": cards},
        "workload.prompts.questions.retrieval": retrieval,
    }
    return blueprint({**more, **(changes or {})}, seed=seed)


_DRAWN: dict[tuple[str, int], Blueprint] = {}


def _drawn(key: str, seed: int, changes: Mapping[str, object]) -> Blueprint:
    if (key, seed) not in _DRAWN:
        scenario = load_scenario("demo", {**SMALL, **changes, "seed": seed})
        _DRAWN[key, seed] = Blueprint.draw(scenario)
    return _DRAWN[key, seed]


def run(
    plan: Blueprint, job: Callable[[VirtualWorld], Awaitable[T]], *, through_frames: bool = False
) -> T:
    return run_virtual(plan, job, through_frames=through_frames)


@cache
def prompt(number: int, length: int = 40) -> tuple[int, ...]:
    """Token ids that are the same in every run and differ from number to number."""
    return tuple(3 + (number * 7919 + i * i * 31 + i * 17) % 490 for i in range(length))


def request(name: str, **changes: Any) -> Request:
    """Greedy, 8 tokens, no end token; `changes` go to the request or to its sampling."""
    sampling: dict[str, Any] = {"max_tokens": 8, "ignore_eos": True}
    fields: dict[str, Any] = {"request_id": name, "model": MODEL}
    for key, value in changes.items():
        (sampling if key in SamplingParams.__dataclass_fields__ else fields)[key] = value
    if not {"prompt", "prompt_ids", "messages"} & set(fields):
        fields["prompt_ids"] = prompt(0)
    if isinstance(fields.get("retrieval"), str):
        fields["retrieval"] = Retrieval(fields["retrieval"])
    return Request(sampling=SamplingParams(**sampling), **fields)


@dataclass
class Heard:
    """What a reader of one stream saw."""

    outputs: list[Output] = field(default_factory=list)
    error: PerfuseError | None = None
    ended_ns: int = 0

    @property
    def tokens(self) -> list[int]:
        return [token for output in self.outputs for token in output.token_ids]

    @property
    def text(self) -> str:
        return "".join(output.text for output in self.outputs)

    @property
    def last(self) -> Output:
        return self.outputs[-1]

    @property
    def code(self) -> str:
        """Error code, however it was told; "" if there was none."""
        if self.error is not None:
            return self.error.code
        told = self.outputs[-1].error if self.outputs else None
        return str(told["code"]) if told else ""


async def ask(world: VirtualWorld, wanted: Request, heard: Heard | None = None) -> Heard:
    """Read one stream to its end; checks on the way that positions come once and in order."""
    heard = heard or Heard()
    try:
        async for output in world.client.submit(wanted):
            assert output.position == len(heard.tokens), "law 2"
            heard.outputs.append(output)
    except PerfuseError as error:
        heard.error = error
    heard.ended_ns = world.clock.now()
    if heard.error is None:
        assert heard.last.finish_reason, "law 3"
        assert not any(output.finish_reason for output in heard.outputs[:-1])
    return heard


async def ask_all(
    world: VirtualWorld, wanted: Sequence[Request], *, apart_ns: int = 0
) -> list[Heard]:
    """All of them, each `apart_ns` after the one before."""
    tasks = []
    for each in wanted:
        tasks.append(world.gateway.spawn(ask(world, each), each.request_id))
        await world.clock.wait_until(world.clock.now() + apart_ns)
    return [await task for task in tasks]


def leftovers(world: VirtualWorld, *, dead: tuple[str, ...] = ()) -> dict[str, int]:
    """Law 4, looked at from inside: what any living node still holds. Empty when idle."""
    held: dict[str, int] = {}
    for name, node in world.nodes.items():
        if name in dead:
            continue
        held[f"{name} calls"] = node.endpoint.outgoing.in_flight()
        for peer, taken in node.endpoint.credits_taken().items():
            held[f"{name} credits of {peer}"] = taken
    for name, chip in workers_of(world, Chip).items():
        if world.blueprint.plan.directory[name] in dead:
            continue
        scheduler = chip._scheduler
        scheduler.blocks.check_integrity()
        held.update({f"{name} {key}": value for key, value in chip.held().items()})
        held[f"{name} pins"] = scheduler.blocks.num_pinned
        held[f"{name} scheduled"] = int(not scheduler.is_idle)
    for name, server in workers_of(world, MemoryServer).items():
        server.pool.check_integrity()
        held[f"{name} pins"] = server.pool.num_pinned
    for name, router in workers_of(world, Router).items():
        held.update({f"{name} {key}": value for key, value in router.held().items()})
        held[f"{name} state"] = int(not router.state.is_idle)
    held.update(world.client.held())
    return {key: value for key, value in held.items() if value}


async def settle(world: VirtualWorld, *, dead: tuple[str, ...] = ()) -> None:
    """Let what still travels arrive, then insist that nothing is held."""
    for _ in range(40):
        await world.clock.wait_until(world.clock.now() + world.blueprint.timeout_ns // 4)
        if not leftovers(world, dead=dead):
            return
    raise AssertionError(f"held when idle: {leftovers(world, dead=dead)}")
