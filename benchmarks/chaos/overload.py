"""Ten times as many requests as a cluster can answer: `python -m benchmarks.chaos.overload`.

In the virtual world, so that every figure is of emulated time and the same in each run. The demo's
cluster with digests, chips that compute 16 sequences at once, and a deadline of 5 ms, where an
answer of 16 tokens alone takes 0.8 ms. Its peak is what 64 users get who ask again as soon as they
are answered. Then requests come by themselves (Poisson), first as many as the peak, then ten times
as many for longer than any of them may stay.

Expected before the first run: by deadline alone every request would wait until it is nearly late,
and work begun for those that end as late would cost most of the goodput. With those refused at once
that cannot be answered in time, what is inside is about (deadline - time of an answer) times the
peak, 5 ms - 0.8 ms at 35 requests/ms: 150 requests, and goodput stays at the peak but for what
is estimated too low (some are late): 0.9 to 1.0. The number inside is as flat in the second half as
in the first; every refusal says when to come back, between 0 and 5 ms from then.

What came out: 0.96 of the peak (36,800 against 38,400 answers/s), nobody late, 1.02 for the number
inside; 1.02 of a peak that counted the users' first and last answers, when not all were busy. Not
at once: an estimate of (waiting x gap between first tokens) + mean stay let in too many, since
stays that have ended tell of a shorter queue, and 39 % were late (goodput 0.75); the number inside
over the rate of ends left 19 % late (0.82), which a margin of half of it took away. A load that is
ten times too much from the first request on finds nothing learned: then the first 350 are let in,
nearly all of them late.

`long_overload` is the same for ten minutes: with machines that are a thousand times as slow, and a
deadline as many times as far away. Expected before its first run: the same shares.
"""

import asyncio
import random
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from benchmarks.parts import report_parts
from benchmarks.rows import Row, arguments
from cluster.api.request import Request
from cluster.worlds.blueprint import Blueprint
from cluster.worlds.virtual import VirtualWorld, run_virtual
from configs.schema import load_scenario
from workers.errors import PerfuseError, QueueFull
from workers.model.sampling_params import SamplingParams

NS_PER_S = 10**9
DEADLINE_NS = 5_000_000
CLUSTER: dict[str, object] = {
    "model.numerics": "digest",
    "model.max_num_seqs": 16,
    "model.num_kv_blocks": 64,
    "cluster.nodes.experts.count": 2,
    "placement.collections": None,
    "workload.prompts.questions.retrieval": None,
}
USERS, CLOSED = 64, 640
MODEL, TOKENS, PROMPTS = "perfuse-tiny", 16, 50
GROUPS = {"prefill": 1, "decode": 2, "experts": 2}
TIMES, LONG_SLOW, LONG_S = 10, 1_000, 600.0
# At the peak first, for as long as a quarter of the overload.
NUM_CALM, NUM_OVER = 300, 12_000
EVIDENCE = "measured: emulated time, the demo's cluster with digests, virtual world"
SEED = 1


@dataclass
class Load:
    """What came of a load. `ended_ns`: of good answers."""

    ended_ns: list[int] = field(default_factory=list)
    num_late: int = 0
    refused: list[int | None] = field(default_factory=list)
    inside: list[tuple[int, int]] = field(default_factory=list)  # when, and how many


@dataclass(frozen=True)
class Size:
    """slow   how many times as long all that is launched takes, and the deadline
    over_s   of emulated time that it is too much, or None: as long as NUM_OVER requests come
    """

    slow: int = 1
    over_s: float | None = None

    @property
    def deadline_ns(self) -> int:
        return DEADLINE_NS * self.slow

    def num_over(self, rate: float) -> int:
        return NUM_OVER if self.over_s is None else int(rate * self.over_s)

    def blueprint(self) -> Blueprint:
        changes = dict(CLUSTER)
        if self.slow > 1:
            changes["slo.deadline"] = f"{self.slow} s"
            for group, count in GROUPS.items():
                changes[f"cluster.nodes.{group}.slow"] = dict.fromkeys(range(count), self.slow)
        return Blueprint.draw(load_scenario("demo", changes))


def prompt_ids(number: int) -> tuple[int, ...]:
    """Of a user's request: of so many that some come again."""
    return tuple(3 + (number % PROMPTS * 7919 + i * i * 31 + i * 17) % 490 for i in range(40))


def asked(number: int, deadline_ns: int) -> Request:
    """0: the cluster's own, which is far away."""
    sampling = SamplingParams(max_tokens=TOKENS, ignore_eos=True)
    ids = prompt_ids(number)
    return Request(f"r{number}", MODEL, sampling, prompt_ids=ids, deadline_ns=deadline_ns)


async def one(world: VirtualWorld, number: int, load: Load, deadline_ns: int) -> None:
    clock = world.clock
    try:
        async for _ in world.client.submit(asked(number, deadline_ns)):
            pass
        load.ended_ns.append(clock.now())
    except QueueFull as error:
        told = error.facts.get("retry_after_ns")
        load.refused.append(told if isinstance(told, int) else None)
    except PerfuseError:
        load.num_late += 1
    load.inside.append((clock.now(), world.client.entrance.pace.num_open))


def steady(ended: Sequence[float]) -> float:
    """Answers for each unit of time while all users are busy, and what is asked again is known."""
    at = sorted(ended)
    first, last = len(at) // 4, len(at) * 7 // 8
    return (last - first) / (at[last] - at[first])


async def closed(world: VirtualWorld) -> float:
    """Good answers a second of users who ask as soon as they are answered."""
    load, numbers = Load(), iter(range(CLOSED))

    async def user(numbers: Iterator[int]) -> None:
        for number in numbers:
            await one(world, number, load, 0)

    users = [world.gateway.spawn(user(numbers), f"user {i}") for i in range(USERS)]
    for each in users:
        await each
    return steady(load.ended_ns) * NS_PER_S


async def opened(world: VirtualWorld, peak: float, size: Size) -> tuple[Load, int, int]:
    """The load, and from when to when it was too much."""
    rng, load, at_ns = random.Random(SEED), Load(), world.clock.now()
    tasks, over_ns = set[asyncio.Task[None]](), 0
    for number in range(NUM_CALM + size.num_over(peak * TIMES)):
        if number == NUM_CALM:
            over_ns = at_ns
        rate = peak * (1 if number < NUM_CALM else TIMES)
        at_ns += int(rng.expovariate(rate) * NS_PER_S)
        await world.clock.wait_until(at_ns)
        coming = one(world, number, load, size.deadline_ns)
        task = world.gateway.spawn(coming, f"request {number}")
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    for task in list(tasks):
        await task
    return load, over_ns, at_ns


def long_overload() -> Iterable[Row]:
    return overload(Size(LONG_SLOW, LONG_S))


def overload(size: Size = Size()) -> Iterable[Row]:
    """The part `overload`."""
    peak = run_virtual(size.blueprint(), closed)
    load, from_ns, to_ns = run_virtual(size.blueprint(), lambda world: opened(world, peak, size))
    good = sum(from_ns < ended_ns <= to_ns for ended_ns in load.ended_ns)
    share = good * NS_PER_S / (to_ns - from_ns) / peak
    middle_ns = (from_ns + to_ns) // 2
    first = max(n for at_ns, n in load.inside if from_ns <= at_ns < middle_ns)
    second = max(n for at_ns, n in load.inside if middle_ns <= at_ns < to_ns)
    told = sum(
        after_ns is not None and 0 < after_ns <= 10 * size.deadline_ns for after_ns in load.refused
    )
    yield Row("peak, 64 users", peak, "answers/s", "-", peak > 0, EVIDENCE)
    over = f"{TIMES}x the peak for {(to_ns - from_ns) / 1e6:,.0f} ms"
    yield Row(f"goodput, {over}", share, "of the peak", ">= 0.90", share >= 0.9, EVIDENCE)
    yield Row(
        "requests inside, most of the second half over most of the first",
        second / first, "", "<= 1.10", second <= 1.1 * first, EVIDENCE,
    )  # fmt: skip
    yield Row(
        f"refusals of {len(load.refused):,} that say when to come back",
        told / max(1, len(load.refused)), "", "1", told == len(load.refused) > 0, EVIDENCE,
    )  # fmt: skip
    late = load.num_late / max(1, load.num_late + len(load.ended_ns))
    yield Row("let in, and late", late, "of those let in", "-", True, EVIDENCE)


def main() -> int:
    chosen = arguments(__doc__.split("\n", 1)[0]).parse_args()
    return report_parts({"overload": overload}, chosen.json, "Overload")


if __name__ == "__main__":
    sys.exit(main())
