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
TASKS = "tasks of all nodes"
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


def held_in_local(world: LocalWorld) -> Held:
    """All that the cluster holds now, and what its nodes' event loops are busy with."""
    held: Held = dict(world.ask_gateway("held"))
    activity = world.ask_all("activity").values()
    held[TASKS] = sum(node["tasks"] for node in activity)
    held[CALLS] = sum(node["calls"] for node in activity)
    return held


def idle_tasks_in_local(world: LocalWorld) -> int:
    """The fewest of some looks: what a look itself starts may still be ending in the next."""
    fewest = held_in_local(world)[TASKS]
    for _ in range(IDLE_LOOKS - 1):
        time.sleep(LOOK_EVERY_S)
        fewest = min(fewest, held_in_local(world)[TASKS])
    return fewest


def settled(idle_tasks: int, now: Held) -> bool:
    return now[TASKS] <= idle_tasks and not any(v for name, v in now.items() if name != TASKS)


def settle_local(world: LocalWorld, idle_tasks: int) -> tuple[Held, float]:
    """What is held when all is back to its idle level, or patience ends; seconds it took."""
    began_s = time.monotonic()
    while True:
        now, elapsed_s = held_in_local(world), time.monotonic() - began_s
        if settled(idle_tasks, now) or elapsed_s > SETTLE_TIMEOUT_S:
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


def rows_for(where: str, idle_tasks: int, after: Held, how: str) -> list[Row]:
    """One row a quantity. Tasks that serve for ever are no remains: what is above them counts."""
    rows = []
    for name, value in after.items():
        left = max(0, value - idle_tasks) if name == TASKS else value
        idle = f"; {idle_tasks} when idle" if name == TASKS else ""
        what = f"{name.replace('_', ' ')} left, {where}"
        rows.append(Row(what, left, "", "0", not left, how + idle))
    return rows


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
        idle_tasks = idle_tasks_in_local(world)
        asyncio.run(vanish_all(url, clients))
        after, elapsed_s = settle_local(world, idle_tasks)
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
        *rows_for("local", idle_tasks, after, how),
        answer_row("local", complete, len(answers)),
    ]


def parts_of(workload: Workload) -> tuple[Workload, Workload]:
    """Questions that are asked before and after, in full; those of the vanishing come first."""
    rest = workload.requests[NUM_CLIENTS:]
    size = len(rest) // 2
    return Workload(rest[:size], size), Workload(rest[size:], size)


def held_in_virtual(world: VirtualWorld, told: Mapping[str, int]) -> Held:
    held: Held = dict(told)
    held[TASKS] = sum(node.num_tasks() for node in world.nodes.values())
    held[CALLS] = sum(node.endpoint.in_flight() for node in world.nodes.values())
    return held


def measure_virtual() -> list[Row]:
    blueprint = Blueprint.draw(demo(NUM_CLIENTS + 2 * max(GROUP_SIZES), ANSWERS))
    workload = questions(blueprint)
    first, last = parts_of(workload)

    async def job(world: VirtualWorld) -> list[Row]:
        node, clock = world.gateway, world.clock

        async def settle(idle_tasks: int | None) -> Held:
            until_ns = clock.now() + SETTLE_TIMEOUT_NS
            while True:
                # A moment after the question, so that the question itself is not counted.
                told = await world.client.held_everywhere()
                await clock.wait_until(clock.now() + LOOK_EVERY_NS)
                now = held_in_virtual(world, told)
                if idle_tasks is None or settled(idle_tasks, now) or clock.now() > until_ns:
                    return now

        await Driver(node, world.client).run(first)
        idle_tasks = (await settle(None))[TASKS]
        for group in groups(vanishing(workload), GROUP_SIZES):
            tasks = [
                node.spawn(vanish_inside(node, world.client, one), one.request.request_id)
                for one in group
            ]
            for task in tasks:
                await task
        began_ns = clock.now()
        after = await settle(idle_tasks)
        elapsed_us = (clock.now() - began_ns) / 1e3
        answers = await Driver(node, world.client).run(last)
        complete = sum(answer.finish_reason == "length" for answer in answers)
        how = f"measured: {NUM_CLIENTS} clients, {elapsed_us:.0f} emulated us after the last one"
        return [
            *rows_for("virtual", idle_tasks, after, how),
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
