"""Reports that pile up hold back whoever makes them, and end nothing."""

import pytest

from cluster.worlds.virtual import VirtualWorld
from tests.cluster.worlds.cluster import ask_all, blueprint, prompt, request, run, settle
from tests.workers.bench import Bench, make_link
from tests.workers.wire.parcel import Parcel
from workers.wire import line
from workers.wire.line import Line


def test_whoever_makes_reports_waits_while_the_receiver_is_far_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Four may wait, one report is on its way. Twelve are put at once, twelve more as there is
    room: all arrive, and no more than twelve ever waited.
    """
    monkeypatch.setattr(line, "BEHIND_MAX", 4)
    monkeypatch.setattr(line, "WINDOW_MAX", 1)
    heard: list[int] = []

    async def job(bench: Bench) -> None:
        node, clock = bench.nodes["chip"], bench.clock
        bench.port("router").on(Parcel, lambda m: heard.extend(m.content.body["numbers"]))
        reports: Line[int] = Line(
            node,
            bench.port("chip"),
            "router",
            "tokens",
            10**9,
            lambda numbers: Parcel({"numbers": list(numbers)}),
        )
        for number in range(12):
            reports.put(number)
        await reports.room()
        for number in range(12, 24):
            await reports.room()
            reports.put(number)
        await clock.wait_until(10**8)
        assert heard == list(range(24)) and reports.in_flight == 0
        assert node.queues["tokens to router"].length == 12

    Bench("chip", "router", links={"chip": make_link(latency_ns=100_000)}).run(job)


def test_a_chip_takes_no_step_while_its_reports_wait_and_no_token_changes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A router 1 ms away hears slower than a chip decodes (some 30 us a step)."""
    wanted = [request(f"r{i}", prompt_ids=prompt(i), max_tokens=20) for i in range(3)]

    async def job(world: VirtualWorld) -> tuple[list[list[int]], int]:
        heard = await ask_all(world, wanted)
        await settle(world)
        queue = world.nodes["decode-0"].queues["tokens to router"]
        return [one.tokens for one in heard], queue.length

    plan = blueprint({"cluster.nodes.router.link.latency": "1 ms"})
    calm, _ = run(plan, job)
    monkeypatch.setattr(line, "BEHIND_MAX", 1)
    monkeypatch.setattr(line, "WINDOW_MAX", 1)
    held, longest = run(plan, job)
    assert held == calm
    assert longest <= 1
