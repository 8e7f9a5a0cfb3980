"""What do vanished clients leave behind? `python -m benchmarks.cancel [--json FILE]`.

A hundred clients go away while their answers stream, alone and together, after none to a dozen
tokens. Then blocks, slots, tasks and messages must all return to what they were: in the local world
behind HTTP (half of the connections are reset), and in the virtual world.
"""

import asyncio
import sys
import time
from collections.abc import Mapping, Sequence

import httpx
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.rows import Row, arguments, report
from benchmarks.runs import EMULATION_OFF, demo, questions, standing
from benchmarks.vanishing import Vanishing, groups, vanish_inside, vanish_over_http
from cluster.gateway.settings import GatewaySettings
from cluster.workload.build import Workload
from cluster.workload.driver import Driver
from cluster.worlds.blueprint import Blueprint
from cluster.worlds.local import LocalWorld
from cluster.worlds.virtual import VirtualWorld, run_virtual

NUM_CLIENTS = 100
GROUP_SIZES = (1, 3, 8)
CHUNKS_MAX = 12
# A whole answer is far longer than any client here stays.
ANSWERS: dict[str, object] = {
    "workload.sampling.max_tokens": 128,
    "workload.sampling.ignore_eos": True,
}
SETTLE_TIMEOUT_S = 30
LOOK_EVERY_S = 0.05
SETTLE_TIMEOUT_NS = 10_000_000
LOOK_EVERY_NS = 10_000

Held = dict[str, int]
Tasks = dict[str, int]  # node -> tasks of its event loop
TASKS = "tasks above each node's idle level"
CALLS = "calls of all nodes"
IDLE_LOOKS = 5


def vanishing(workload: Workload) -> list[Vanishing]:
    """The clients: each takes another number of chunks, every second one resets."""
    return [
        Vanishing(
            request=timed.request,
            num_chunks=i % (CHUNKS_MAX + 1),
            patience=(i % 10) / 10,
            resets=i % 2 == 1,
        )
        for i, timed in enumerate(workload.requests[:NUM_CLIENTS])
    ]


def above(tasks: Tasks, idle: Tasks) -> int:
    """Tasks beyond what serves for ever, node by node: no node's end may hide another's leak."""
    return sum(max(0, count - idle.get(node, 0)) for node, count in tasks.items())


def held_in_local(world: LocalWorld, idle: Tasks) -> Held:
    """All that the cluster holds now, and what its nodes' event loops are busy with."""
    held: Held = dict(world.ask_gateway("held"))
    activity = world.ask_all("activity")
    held[TASKS] = above({node: now["tasks"] for node, now in activity.items()}, idle)
    held[CALLS] = sum(now["calls"] for now in activity.values())
    return held


def idle_tasks_in_local(world: LocalWorld) -> Tasks:
    """The fewest of some looks: what a look itself starts may still be ending in the next."""
    looks = []
    for _ in range(IDLE_LOOKS):
        time.sleep(LOOK_EVERY_S)
        looks.append({n: now["tasks"] for n, now in world.ask_all("activity").items()})
    return {node: min(look[node] for look in looks) for node in looks[0]}


def settled(now: Held) -> bool:
    return not any(now.values())


def settle_local(world: LocalWorld, idle: Tasks) -> tuple[Held, float]:
    """What is held when all is back to its idle level, or patience ends; seconds it took."""
    began_s = time.monotonic()
    while True:
        now, elapsed_s = held_in_local(world, idle), time.monotonic() - began_s
        if settled(now) or elapsed_s > SETTLE_TIMEOUT_S:
            return now, elapsed_s
        time.sleep(LOOK_EVERY_S)


async def vanish_all(url: str, clients: Sequence[Vanishing]) -> None:
    for group in groups(clients, GROUP_SIZES):
        await asyncio.gather(*(vanish_over_http(url, client) for client in group))


def abandoned(url: str) -> float:
    """Streams whose clients went away, by the gateway's own count."""
    text = httpx.get(f"{url}/metrics").raise_for_status().text
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "vllm:request_success_total"
        and sample.labels["finished_reason"] == "abort"
    )


def rows_for(where: str, after: Held, how: str) -> list[Row]:
    """One row a quantity."""
    return [
        Row(f"{name.replace('_', ' ')} left, {where}", value, "", "0", not value, how)
        for name, value in after.items()
    ]


def answer_row(where: str, num_right: int, num_asked: int) -> Row:
    return Row(
        f"answers after it, {where}",
        num_right,
        "",
        f"{num_asked}: all in full",
        num_right == num_asked,
        "measured: the cluster still serves",
    )


def measure_local() -> list[Row]:
    blueprint = Blueprint.draw(
        demo(NUM_CLIENTS + 2 * max(GROUP_SIZES), {**EMULATION_OFF, **ANSWERS})
    )
    workload = questions(blueprint)
    first, last = parts_of(workload)
    clients = vanishing(workload)
    with standing(blueprint, "local world") as world:
        url = world.ask_gateway("serve_http", "127.0.0.1", 0, GatewaySettings())
        world.ask_gateway("run", first)  # brings up whatever is made when it is first needed
        idle = idle_tasks_in_local(world)
        asyncio.run(vanish_all(url, clients))
        after, elapsed_s = settle_local(world, idle)
        num_abandoned = abandoned(url)
        answers = world.ask_gateway("run", last)
    how = f"measured: {NUM_CLIENTS} clients over HTTP, {elapsed_s:.1f} s after the last one"
    complete = sum(answer.finish_reason == "length" for answer in answers)
    mid_stream = sum(client.num_chunks > 0 for client in clients)
    return [
        Row(
            "streams that the gateway saw abandoned",
            num_abandoned,
            "",
            f">= {mid_stream}: all with a first token",
            num_abandoned >= mid_stream,
            "measured: vllm:request_success_total, finished_reason abort",
        ),
        *rows_for("local", after, how),
        answer_row("local", complete, len(answers)),
    ]


def parts_of(workload: Workload) -> tuple[Workload, Workload]:
    """Questions that are asked before and after, in full; those of the vanishing come first."""
    rest = workload.requests[NUM_CLIENTS:]
    size = len(rest) // 2
    return Workload(rest[:size], size), Workload(rest[size:], size)


def tasks_in_virtual(world: VirtualWorld) -> Tasks:
    return {name: node.num_tasks() for name, node in world.nodes.items()}


def held_in_virtual(world: VirtualWorld, told: Mapping[str, int], idle: Tasks) -> Held:
    held: Held = dict(told)
    held[TASKS] = above(tasks_in_virtual(world), idle)
    held[CALLS] = sum(node.endpoint.outgoing.in_flight() for node in world.nodes.values())
    return held


def measure_virtual() -> list[Row]:
    blueprint = Blueprint.draw(demo(NUM_CLIENTS + 2 * max(GROUP_SIZES), ANSWERS))
    workload = questions(blueprint)
    first, last = parts_of(workload)

    async def job(world: VirtualWorld) -> list[Row]:
        node, clock = world.gateway, world.clock

        async def settle(idle: Tasks | None) -> Held:
            until_ns = clock.now() + SETTLE_TIMEOUT_NS
            while True:
                # A moment after the question, so that the question itself is not counted.
                told = await world.client.held_everywhere()
                await clock.wait_until(clock.now() + LOOK_EVERY_NS)
                now = held_in_virtual(world, told, idle or {})
                if idle is None or settled(now) or clock.now() > until_ns:
                    return now

        await Driver(node, world.client).run(first)
        await settle(None)
        idle = tasks_in_virtual(world)
        for group in groups(vanishing(workload), GROUP_SIZES):
            tasks = [
                node.spawn(vanish_inside(node, world.client, one), one.request.request_id)
                for one in group
            ]
            for task in tasks:
                await task
        began_ns = clock.now()
        after = await settle(idle)
        elapsed_us = (clock.now() - began_ns) / 1e3
        answers = await Driver(node, world.client).run(last)
        complete = sum(answer.finish_reason == "length" for answer in answers)
        how = f"measured: {NUM_CLIENTS} clients, {elapsed_us:.0f} emulated us after the last one"
        return [
            *rows_for("virtual", after, how),
            answer_row("virtual", complete, len(answers)),
        ]

    return run_virtual(blueprint, job)


def main() -> int:
    parser = arguments("What clients that vanish mid-stream leave behind.")
    parser.add_argument("--only", choices=("virtual", "local"), help="in this world only")
    options = parser.parse_args()
    rows: list[Row] = []
    if options.only != "local":
        rows += measure_virtual()
    if options.only != "virtual":
        rows += measure_local()
    return report(rows, options.json, f"{NUM_CLIENTS} clients vanish")


if __name__ == "__main__":
    sys.exit(main())
