"""A shard that dies, and one that is slow: what a local spare and a replaced share are worth.

perfuse-tiny on the demo's chips and 4 shards, 24 users at once, 16 tokens each; in virtual time.

Expected, written before the first run:

- A shard dies after 300 us. Without a spare whoever has a token there fails: most of the 24, for a
  token asks 2 of 8 experts in each of 4 layers. With one nobody does, every token is the calm
  run's, and the longest gap between two tokens grows by no more than what the dispatches that died
  take again: two ways of 2 us, their bytes, and the spare's weights; some 10 us.
- One shard's messages come 2 ms late, one in fifty. Waiting for all, the longest gap between two
  tokens is some 2 ms. Where shares that are 60 us late are replaced it is some 60 us a late share:
  less than a tenth. No request fails; tokens before the first flagged one of a stream are the calm
  run's, all of them.

What came out: as expected; all 24 fail without a spare. Taking over lengthens no gap between tokens
beyond the longest of the calm run, 110 us, which has other causes.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.rows import Row
from cluster.workload.build import build_workload
from cluster.workload.driver import Answer, Driver
from cluster.worlds.blueprint import Blueprint
from cluster.worlds.virtual import VirtualWorld, run_virtual
from configs.schema import load_scenario

USERS, TOKENS = 24, 16
DIES_NS, LATE = 300_000, "2 ms"
BASE: Mapping[str, Any] = {
    "cluster.nodes.experts.count": 4,
    "placement.collections": None,
    "placement.kv_pool": False,
    "workload.prompts.questions.retrieval": None,
    "workload.arrivals.closed": {"concurrency": USERS, "num_requests": USERS},
    "workload.sampling": {"max_tokens": TOKENS, "temperature": 0, "ignore_eos": True},
}
SPARE = {"cluster.nodes.experts.spares": 1}
SLOW = {
    "faults": [
        {"name": "slow", "type": "latency", "source": "experts-1", "toxicity": 0.02,
         "attributes": {"latency": LATE}},
    ]
}  # fmt: skip
REPLACED = {"placement.experts.on_timeout": "replace", "placement.experts.timeout": "60 us"}


@dataclass(frozen=True, slots=True)
class Ran:
    """What came of all requests, by their ids."""

    answers: dict[str, Answer]

    @property
    def num_failed(self) -> int:
        return sum(answer.error is not None for answer in self.answers.values())

    @property
    def gap_ns(self) -> int:
        """The longest between two tokens of any answer that ended well."""
        return max(max(a.itl_ns) for a in self.answers.values() if a.error is None)

    def num_as(self, calm: "Ran") -> int:
        """Answers whose tokens before the first flagged one are those of a calm run."""
        num = 0
        for name, answer in self.answers.items():
            exact = len(answer.token_ids) - answer.num_approximate
            num += answer.token_ids[:exact] == calm.answers[name].token_ids[:exact]
        return num


def ran(changes: Mapping[str, Any], victim: str = "") -> Ran:
    """The same requests, while a node dies."""
    scenario = load_scenario("demo", {**BASE, **changes})
    drawn = Blueprint.draw(scenario)

    async def job(world: VirtualWorld) -> Ran:
        driver = Driver(world.gateway, world.client, lambda _: None)
        workload = build_workload(scenario, drawn.model.vocab)
        running = world.gateway.spawn(driver.run(workload), "ask")
        if victim:
            await world.clock.wait_until(world.clock.now() + DIES_NS)
            await world.kill(victim)
        return Ran({answer.request_id: answer for answer in await running})

    return run_virtual(drawn, job)


def rows() -> Iterator[Row]:
    """Deaths, then lateness."""
    calm = ran({})
    yield from _death_rows(calm)
    yield from _late_rows(calm)


def _death_rows(calm: Ran) -> Iterator[Row]:
    evidence = f"projection: the demo's machines, a shard dies after {DIES_NS / 1e3:g} us"
    alone, spared = ran({}, "experts-1"), ran(SPARE, "experts-1")
    yield Row(
        "requests that fail where no spare stands by",
        alone.num_failed,
        "requests",
        "> 0: told, what a spare is for",
        alone.num_failed > 0,
        evidence,
    )
    yield Row(
        "requests that fail where one does",
        spared.num_failed,
        "requests",
        f"0 of {USERS}",
        spared.num_failed == 0,
        evidence,
    )
    yield Row(
        "answers with the tokens of a calm run",
        spared.num_as(calm),
        "answers",
        f"{USERS} of {USERS}",
        spared.num_as(calm) == USERS,
        evidence,
    )
    more_us = (spared.gap_ns - calm.gap_ns) / 1e3
    yield Row(
        "longest gap between two tokens, beyond that of a calm run "
        f"({calm.gap_ns / 1e3:.1f} us): taking over",
        more_us,
        "us",
        "<= 20 us",
        more_us <= 20,
        evidence,
    )


def _late_rows(calm: Ran) -> Iterator[Row]:
    evidence = f"projection: the demo's machines, one shard's messages {LATE} late, one in fifty"
    waits, replaced = ran(SLOW), ran({**SLOW, **REPLACED})
    ratio = replaced.gap_ns / waits.gap_ns
    yield Row(
        "longest gap between two tokens where shares 60 us late are replaced, over waiting "
        f"({waits.gap_ns / 1e3:,.0f} us)",
        ratio,
        "x",
        "<= 0.1",
        ratio <= 0.1,
        evidence,
    )
    flagged = sum(answer.num_approximate for answer in replaced.answers.values())
    yield Row(
        f"tokens flagged as approximate, of {USERS * TOKENS}",
        flagged,
        "tokens",
        "> 0: told; no request fails",
        flagged > 0 and not replaced.num_failed,
        evidence,
    )
    yield Row(
        "answers whose other tokens are those of a calm run; waiting, all tokens",
        replaced.num_as(calm) + waits.num_as(calm),
        "answers",
        f"{2 * USERS} of {2 * USERS}",
        replaced.num_as(calm) + waits.num_as(calm) == 2 * USERS,
        evidence,
    )
