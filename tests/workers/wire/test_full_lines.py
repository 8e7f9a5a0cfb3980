"""Reports that pile up hold back whoever makes them, and end nothing."""

import pytest

from cluster.worlds.virtual import VirtualWorld
from tests.cluster.worlds.cluster import ask_all, blueprint, prompt, request, run, settle
from workers.wire import line


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
    # Where reports stream: one on its way at a time, so that others wait.
    monkeypatch.setattr(line, "WINDOW_MAX", 1, raising=False)
    held, longest = run(plan, job)
    assert held == calm
    assert longest <= 1
