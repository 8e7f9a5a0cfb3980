"""A chip that prefills and decodes: a sequence goes on where it is, and no KV travels."""

from functools import cache

import pytest

from cluster.worlds.virtual import VirtualWorld, WorkerFailed
from tests.cluster.worlds.cluster import (
    Heard,
    ask,
    ask_all,
    blueprint,
    leftovers,
    prompt,
    request,
    run,
    settle,
    workers_of,
)
from workers.chip.chip import Chip
from workers.chip.scheduler import Scheduler, Step
from workers.host.trace import Delivered
from workers.model.reference import Reference
from workers.model.sampling_params import SamplingParams

CHIP = {"workers": ["chip"], "device": "h100-sxm", "link": "lowlat-2us"}
IN_PLACE: dict[str, object] = {
    "cluster.nodes.prefill": None,
    "cluster.nodes.decode": None,
    "cluster.nodes.chip": CHIP,
    "placement.kv_pool": False,
}
CHUNKED = {**IN_PLACE, "model.max_num_batched_tokens": 24, "model.max_num_seqs": 8}
TRAVELS = ("reserve", "prefill", "kv_blocks", "start")


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[Step]:
    """Every step that any scheduler made."""
    made: list[Step] = []
    schedule = Scheduler.schedule

    def recorded(self: Scheduler) -> Step | None:
        step = schedule(self)
        if step is not None:
            made.append(step)
        return step

    monkeypatch.setattr(Scheduler, "schedule", recorded)
    return made


@cache
def expected(number: int, length: int, max_tokens: int) -> list[int]:
    params = SamplingParams(max_tokens=max_tokens, ignore_eos=True)
    folder = blueprint(IN_PLACE).folder
    return list(Reference(folder).generate(prompt(number, length), params).token_ids)


def test_tokens_are_the_reference_s_when_prompts_and_answers_share_steps(steps: list[Step]) -> None:
    """Long prompts come in chunks while others decode; each token equals that of one process."""
    sizes = [(i, 20 + 23 * i, 12 + i) for i in range(6)]

    async def job(world: VirtualWorld) -> list[list[int]]:
        wanted = [request(f"r{i}", prompt_ids=prompt(i, n), max_tokens=m) for i, n, m in sizes]
        heard = await ask_all(world, wanted, apart_ns=40_000)
        kinds = {r.kind for r in world.trace.records if isinstance(r, Delivered)}
        assert "generate" in kinds and not kinds & set(TRAVELS)
        await settle(world)
        return [one.tokens for one in heard]

    assert run(blueprint(CHUNKED), job) == [expected(*size) for size in sizes]
    mixed = [s for s in steps if {i.count > 1 for i in s.items} == {True, False}]
    chunks = [i for s in steps for i in s.items if i.count > 1 and not i.samples]
    assert mixed and chunks
    for step in mixed:  # who decodes goes first, and all stay within the budget
        counts = [item.count for item in step.items]
        assert counts.index(max(counts)) >= counts.count(1) and sum(counts) <= 24


@pytest.mark.parametrize(
    ("changes", "step_ns", "length"), [(IN_PLACE, 4_000, 40), (CHUNKED, 4_000, 70)]
)
def test_a_cancel_at_any_time_frees_everything(
    changes: dict[str, object], step_ns: int, length: int
) -> None:
    async def job(world: VirtualWorld) -> None:
        begun_ns = world.clock.now()
        whole = await ask(world, request("base", prompt_ids=prompt(0, length)))
        seen: set[int] = set()
        for number, cut_ns in enumerate(range(0, whole.ended_ns - begun_ns, step_ns), start=1):
            heard = Heard()
            wanted = request(f"cut-{number}", prompt_ids=prompt(number, length))
            task = world.gateway.spawn(ask(world, wanted, heard), wanted.request_id)
            await world.clock.wait_until(world.clock.now() + cut_ns)
            task.cancel()
            seen.add(len(heard.tokens))
            for _ in range(60):
                await world.clock.wait_until(world.clock.now() + 5_000)
                if not leftovers(world):
                    break
            assert not leftovers(world), (cut_ns, leftovers(world))
        assert len(seen) >= 8, seen
        again = await ask(world, request("again", prompt_ids=prompt(0, length)))
        assert again.tokens == whole.tokens
        await settle(world)

    run(blueprint(changes), job)


def test_a_prefix_that_is_there_is_not_computed_again() -> None:
    async def job(world: VirtualWorld) -> None:
        first = await ask(world, request("a", prompt_ids=prompt(1, 70)))
        second = await ask(world, request("b", prompt_ids=prompt(1, 70)))
        assert (first.last.num_cached_tokens, second.last.num_cached_tokens) == (0, 64)
        assert first.tokens == second.tokens == expected(1, 70, 8)
        assert first.last.times["prefill"] > second.last.times["prefill"] > 0
        assert "kv_transfer" not in first.last.times
        await settle(world)

    run(blueprint(IN_PLACE), job)


def test_the_pool_has_what_a_chip_that_does_both_forgot() -> None:
    async def job(world: VirtualWorld) -> None:
        first = await ask(world, request("first", prompt_ids=prompt(2, 70)))
        # Takes every block that the chip has.
        await ask(world, request("other", prompt_ids=prompt(3, 110), max_tokens=18))
        again = await ask(world, request("again", prompt_ids=prompt(2, 70)))
        assert first.tokens == again.tokens == expected(2, 70, 8)
        kinds = {r.kind for r in world.trace.records if isinstance(r, Delivered)}
        assert {"pool_get", "pool_put"} <= kinds
        assert again.last.num_cached_tokens == 64
        await settle(world)

    small = {"model.num_kv_blocks": 8, "model.max_model_len": 128}
    run(blueprint({**IN_PLACE, **small, "placement.kv_pool": True}), job)


def test_requests_spread_over_chips_that_are_alike(steps: list[Step]) -> None:
    async def job(world: VirtualWorld) -> None:
        chips = workers_of(world, Chip)
        assert sorted(chips) == ["chip-0", "chip-1", "chip-2"]
        wanted = [request(f"r{i}", prompt_ids=prompt(i)) for i in range(9)]
        heard = await ask_all(world, wanted)
        assert [one.tokens for one in heard] == [expected(i, 40, 8) for i in range(9)]
        used = [chip._scheduler.num_prefix_queries // 40 for chip in chips.values()]
        assert used == [3, 3, 3]
        await settle(world)

    run(blueprint({**IN_PLACE, "cluster.nodes.chip": {**CHIP, "count": 3}}), job)


def test_a_pair_of_chips_takes_what_has_no_room_in_place() -> None:
    """A cluster may have all three kinds: in place first, since then nothing travels."""
    changes = {**IN_PLACE, "model.num_kv_blocks": 8, "model.max_model_len": 128}
    for role in ("prefill", "decode"):
        changes[f"cluster.nodes.{role}"] = {**CHIP, "workers": [role]}

    async def job(world: VirtualWorld) -> None:
        wanted = [request(f"r{i}", prompt_ids=prompt(i, 100)) for i in range(2)]
        heard = await ask_all(world, wanted)
        assert [one.tokens for one in heard] == [expected(i, 100, 8) for i in range(2)]
        chips = workers_of(world, Chip)
        used = {name: chip._scheduler.num_prefix_queries for name, chip in chips.items()}
        assert used["chip-0"] == used["prefill-0"] == 100
        await settle(world)

    run(blueprint(changes), job)


def test_a_lost_chip_ends_its_requests_with_a_clear_error() -> None:
    async def job(world: VirtualWorld) -> None:
        heard = Heard()
        wanted = request("r", prompt_ids=prompt(0), max_tokens=64)
        task = world.gateway.spawn(ask(world, wanted, heard), "r")
        await world.clock.wait_until(world.clock.now() + 400_000)
        assert heard.tokens
        await world.kill("chip-0")
        await task
        assert heard.code == "peer_dead"
        later = await ask(world, request("later"))
        assert later.code == "peer_dead"
        await settle(world, dead=("chip-0",))

    run(blueprint(IN_PLACE), job)


@pytest.mark.parametrize("broken", ["NativeChipModel.attend", "NativeExpertModel.forward"])
def test_an_error_nobody_expected_is_told_and_the_next_request_is_served(
    broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once, not when the deadline has passed; and the world says afterwards that it failed."""
    module = {"NativeChipModel": "chip_model", "NativeExpertModel": "expert_model"}
    path = f"workers.model.native.{module[broken.split('.')[0]]}.{broken}"

    async def job(world: VirtualWorld) -> None:
        begun_ns = world.clock.now()
        with monkeypatch.context() as spoilt:
            spoilt.setattr(path, lambda *_: 1 // 0)
            heard = await ask(world, request("first", prompt_ids=prompt(0, 40)))
        assert heard.code == "internal_error" and not heard.tokens
        assert heard.ended_ns - begun_ns < world.blueprint.timeout_ns // 10
        again = await ask(world, request("second", prompt_ids=prompt(0, 40)))
        assert again.tokens == expected(0, 40, 8)
        await settle(world)

    with pytest.raises(WorkerFailed, match="ZeroDivisionError"):
        run(blueprint(IN_PLACE), job)
