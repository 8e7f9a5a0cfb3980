"""One adversarial scenario in the virtual world, and which of the six laws it broke."""

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from benchmarks.laws._adversary import (
    DEADLINE_NS,
    LATEST_NS,
    NUM_CHATTER,
    NUM_REQUESTS,
    Adversary,
    CutRule,
)
from benchmarks.laws._checks import held, torn_stores, workers_of
from cluster.api.request import Request, Retrieval
from cluster.gateway.store_client import Document
from cluster.router.router import Router
from cluster.worlds.blueprint import Blueprint
from cluster.worlds.virtual import VirtualWorld, run_virtual
from configs.schema import load_scenario
from workers.errors import NotFound, PerfuseError
from workers.model.sampling_params import SamplingParams
from workers.wire.kinds.chip import ChipState

SMALL: Mapping[str, object] = {
    "cluster.nodes.experts.count": 2,
    "cluster.router_journal": True,
    "placement.collections": None,
    "workload.prompts.questions.retrieval": None,
    "model.num_kv_blocks": 128,
    "slo.deadline": f"{DEADLINE_NS} ns",
}
CURVED: Mapping[str, object] = {
    f"cluster.nodes.{group}.link": "ib-mooncake" for group in ("prefill", "decode", "experts")
}
COLOCATED: Mapping[str, object] = {"cluster.nodes.prefill.workers": ["chip"]}
# Whoever fails says so with one of these: no trial asks for anything that is wrong in itself.
CODES = ("", "deadline_exceeded", "peer_dead", "cancelled")
POLL_NS, POLLS = DEADLINE_NS, 60
DOCUMENT = Document("f1", "f1.txt", "\n".join(f"Card {i} costs {i * 7} coins." for i in range(24)))


@dataclass
class Heard:
    """What one reader saw."""

    tokens: list[int] = field(default_factory=list)
    finish_reason: str = ""
    code: str = ""
    in_order: bool = True
    took_ns: int = 0
    left: bool = False


@dataclass
class Trial:
    """What came of a scenario. `broken`: a line for each way in which a law was broken."""

    heard: list[Heard] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    trace_hash: str = ""


def wanted(number: int) -> Request:
    """Token ids that differ from number to number; every third asks for passages."""
    sampling = SamplingParams(max_tokens=4 + number, ignore_eos=True)
    name = f"r{number}"
    if number % 3 == 2:
        text = f"What does card {number} cost?"
        return Request(name, "perfuse-tiny", sampling, prompt=text, retrieval=Retrieval("cards", 2))
    ids = tuple(3 + (number * 7919 + i * i * 31 + i * 17) % 490 for i in range(24 + 8 * number))
    return Request(name, "perfuse-tiny", sampling, prompt_ids=ids)


def blueprint(trial: Adversary) -> Blueprint:
    changes = {**SMALL, "placement.kv_pool": trial.kv_pool, "seed": trial.seed}
    changes |= dict(COLOCATED) if trial.colocated else {}
    changes |= dict(CURVED) if trial.curved else {}
    return Blueprint.draw(load_scenario("demo", {**changes, "faults": list(trial.faults)}))


@cache
def reference() -> tuple[tuple[int, ...], ...]:
    """The tokens of each request where nothing goes wrong."""
    calm = Adversary(0, colocated=False, kv_pool=False, faults=(), cuts=())
    nobody_knows: tuple[tuple[int, ...], ...] = ((),) * NUM_REQUESTS
    heard = run_virtual(blueprint(calm), lambda world: _trial(world, calm, nobody_knows)).heard
    assert not any(one.code for one in heard), "without trouble everybody is answered"
    return tuple(tuple(one.tokens) for one in heard)


def run_trial(trial: Adversary) -> Trial:
    rights = reference()
    return run_virtual(blueprint(trial), lambda world: _trial(world, trial, rights))


async def _trial(world: VirtualWorld, trial: Adversary, rights: Sequence[tuple[int, ...]]) -> Trial:
    """Calm until a store stands; then all at once."""
    (router,) = workers_of(world, Router).values()
    rules = {name: dict(node.endpoint.rules) for name, node in world.nodes.items()}
    for node in world.nodes.values():
        node.endpoint.rules.clear()
    await router.stores.create("cards", "cards")
    await world.client.add_documents("cards", [DOCUMENT])
    cuts = {f"cut {cut.pair} at {cut.at_kind}": CutRule(cut) for cut in trial.cuts}
    for name, node in world.nodes.items():
        node.endpoint.rules.update({**rules[name], **cuts})
    result = Trial([Heard() for _ in range(NUM_REQUESTS)])
    jobs = [_ask(world, trial, number, heard) for number, heard in enumerate(result.heard)]
    jobs += [_shelve(world, result), _chatter(world, router, trial), _kill(world, trial)]
    tasks = [world.gateway.spawn(job, f"job {index}") for index, job in enumerate(jobs)]
    begun_ns = world.clock.now()
    await world.clock.wait_until(begun_ns + 3 * DEADLINE_NS)
    late = [task.get_name() for task in tasks if not task.done()]
    result.broken += [f"ends: {name} did not" for name in late]
    _check_heard(result, rights)
    await world.clock.wait_until(begun_ns + LATEST_NS)
    await _check_clean(world, trial, result)
    result.trace_hash = world.trace.digest()
    return result


def _check_heard(result: Trial, rights: Sequence[tuple[int, ...]]) -> None:
    """Laws 1, 2, 3 and 5, of each reader."""
    for number, (heard, right) in enumerate(zip(result.heard, rights, strict=True)):
        name, broken = f"r{number}", result.broken
        if heard.took_ns > DEADLINE_NS:
            broken.append(f"ends: {name} took {heard.took_ns} ns")
        if not (heard.code or heard.finish_reason or heard.left):
            broken.append(f"ends: {name} has neither an answer nor an error")
        if heard.code not in CODES:
            broken.append(f"ends: {name} ended with {heard.code}")
        if not heard.in_order:
            broken.append(f"once: {name} heard positions out of order")
        whole = len(right) if not (heard.code or heard.left) else len(heard.tokens)
        if tuple(heard.tokens) != right[:whole]:
            broken.append(f"exact: {name} heard {heard.tokens}, not {right[:whole]}")


async def _check_clean(world: VirtualWorld, trial: Adversary, result: Trial) -> None:
    """Law 4, as soon as what was late has come."""
    for _ in range(POLLS):
        left = held(world, healed=trial.is_finite)
        torn = list(torn_stores(world)) if trial.is_finite else []
        if not left and not torn:
            return
        await world.clock.wait_until(world.clock.now() + POLL_NS)
    result.broken += [f"clean: {name} is {count}" for name, count in left.items()] + torn


async def _ask(world: VirtualWorld, trial: Adversary, number: int, heard: Heard) -> None:
    await world.clock.wait_until(world.clock.now() + 30_000 * number)
    begun_ns, leaves = world.clock.now(), trial.leaves.get(number)
    stream = world.client.submit(wanted(number))
    try:
        async for output in stream:
            heard.in_order &= output.position == len(heard.tokens) or output.error is not None
            heard.tokens += output.token_ids
            heard.finish_reason = output.finish_reason
            if output.error is not None:
                heard.code = str(output.error["code"])
            if leaves is not None and len(heard.tokens) >= leaves:
                heard.left = True
                break
    except PerfuseError as error:
        heard.code = error.code
    finally:
        heard.took_ns = world.clock.now() - begun_ns
        await stream.aclose()


async def _shelve(world: VirtualWorld, result: Trial) -> None:
    """A store that three users fill with the same file at once, and one that is deleted."""

    async def quietly(call: Awaitable[Any]) -> Any:
        try:
            return await call
        except PerfuseError as error:
            if error.code not in CODES and not isinstance(error, NotFound):
                result.broken.append(f"ends: a call about stores raised {error.code}: {error}")
            return None

    client, begun_ns = world.client, world.clock.now()
    gone = await quietly(client.create_store("gone"))
    store = await quietly(client.create_store("kept"))
    if store is not None:
        adding = [client.add_documents(store.store_id, [DOCUMENT]) for _ in range(3)]
        await asyncio.gather(*map(quietly, adding))
    if gone is not None:
        await quietly(client.delete_store(gone.store_id))
    if world.clock.now() - begun_ns > 3 * DEADLINE_NS:
        result.broken.append("ends: calls about stores took too long")


async def _chatter(world: VirtualWorld, router: Router, trial: Adversary) -> None:
    """Calls between router and chips that come between a call and its late copy."""
    if not trial.chatter:
        return
    chips, port = list(router.state.chips), router.port
    for _ in range(NUM_CHATTER // 50):
        deadline_ns = world.clock.now() + DEADLINE_NS // 40
        for chip in chips:
            asked = [port.call(chip, ChipState(), deadline_ns=deadline_ns) for _ in range(50)]
            await asyncio.gather(*asked, return_exceptions=True)


async def _kill(world: VirtualWorld, trial: Adversary) -> None:
    if trial.killed is None:
        return
    node, after_ns = trial.killed
    await world.clock.wait_until(world.clock.now() + after_ns)
    await world.kill(node)
    await world.clock.wait_until(world.clock.now() + 100_000)
    await world.revive(node)
