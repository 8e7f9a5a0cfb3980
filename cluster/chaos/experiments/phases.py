"""An experiment's phases, in the virtual world: the same load without faults, with them, and after
them; each answer is compared with its reference, by the laws that a search looks at too.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.chaos.experiments.hypothesis import Verdict, judge
from cluster.chaos.experiments.measures import Phase, Told
from cluster.chaos.experiments.schema import Experiment
from cluster.chaos.experiments.striking import Strikes, spells_of
from cluster.chaos.inside import held
from cluster.chaos.laws import ends, exact, honest, once
from cluster.chaos.staging import Stage
from cluster.chaos.trial import Ask
from cluster.worlds.blueprint import Blueprint
from cluster.worlds.rolling import restart_each
from cluster.worlds.virtual import VirtualWorld, run_virtual
from configs.schema import load_scenario
from workers.errors import PerfuseError

# What lets go of a request may still be on its way when its reader has all of it.
LOOKS_MAX = 100
# Requests of a storm are asked under other names, and so are those after all of it.
PREFIXES = {"load": "r", "storm": "storm-", "recovery": "after-"}


@dataclass(frozen=True, slots=True)
class Outcome:
    """phases   "baseline", "fault", and "recovery" where there is one"""

    name: str
    experiment: Experiment
    phases: dict[str, Phase]
    verdicts: list[Verdict]

    @property
    def holds(self) -> bool:
        """Whether the whole hypothesis does, and a fault struck: else nothing was tried."""
        return self.has_struck and all(verdict.holds for verdict in self.verdicts)

    @property
    def has_struck(self) -> bool:
        return bool(self.phases["fault"].fired)


def stages_of(experiment: Experiment, path: Path) -> tuple[Stage, Stage]:
    """Without faults, and with them. Raises ScenarioError."""
    base: str | Path = experiment.scenario.base
    if str(base).endswith((".yaml", ".yml")):
        base = path.parent / base
    changes: dict[str, Any] = {
        "cluster.world": "virtual",
        "placement.collections": None,
        "workload.prompts": {"synthetic": {"input_length": {"fixed": 1}, "output_length":
                                           {"fixed": 1}}},
        **experiment.scenario.set,
    }  # fmt: skip
    calm = load_scenario(base, {**changes, "faults": []})
    faulty = load_scenario(base, {**changes, "faults": experiment.faults})
    return Stage(Blueprint.draw(calm)), Stage(Blueprint.draw(faulty))


def run_experiment(experiment: Experiment, path: Path) -> Outcome:
    """Raises ScenarioError where its scenario cannot be, and what `run_virtual` raises."""
    calm, faulty = stages_of(experiment, path)
    baseline = Run(experiment, calm, is_calm=True).run()["baseline"]
    found = Run(experiment, faulty, is_calm=False).run()
    for phase in found.values():
        phase.usual_ns = baseline.longest_gaps()
    verdicts = [judge(claim, baseline, found) for claim in experiment.claims]
    return Outcome(path.stem, experiment, {"baseline": baseline, **found}, verdicts)


def asks_of(experiment: Experiment, which: str, count: int, every_ns: int) -> Iterator[Ask]:
    load = experiment.load
    shared = min(load.shared, load.input_length - 1)
    for number in range(count):
        prompt = (number % load.prompts, load.input_length, shared)
        name = f"{PREFIXES[which]}{number}"
        yield Ask(name, prompt, load.output_length, number * every_ns, load.temperature)


class Run:
    """One world's: the baseline, or the fault phase and what comes after."""

    def __init__(self, experiment: Experiment, stage: Stage, *, is_calm: bool) -> None:
        self._experiment, self._stage, self._is_calm = experiment, stage, is_calm
        self._deadline_ns = stage.blueprint.deadline_ns
        self._rolled: list[tuple[str, int, int | None]] = []

    def run(self) -> dict[str, Phase]:
        return run_virtual(self._stage.blueprint, self._phases)

    async def _phases(self, world: VirtualWorld) -> dict[str, Phase]:
        self._world = world
        name = "baseline" if self._is_calm else "fault"
        strikes = Strikes(world)
        found = {name: await self._loaded(name)}
        after = self._experiment.recovery
        if after is not None and not self._is_calm:
            await world.clock.wait_until(world.clock.now() + after.after_ns)
            every_ns = self._experiment.load.every_ns
            asks = [*asks_of(self._experiment, "recovery", after.requests, every_ns)]
            found["recovery"] = await self._asked("recovery", asks)
        last = list(found.values())[-1]
        last.held = await self._let_go()
        spells = [*spells_of(world, self._experiment.storm), *self._rolled]
        first = found[name]
        if not self._is_calm and spells:
            first.spells = spells
            first.onset_ns = min(since for _, since, _ in spells)
            first.fired = strikes.count() + len(self._rolled)
            first.fired += self._experiment.storm.requests if self._experiment.storm else 0
        first.trace_hash = world.trace.digest()
        return found

    # -- load --------------------------------------------------------------------------------------

    async def _loaded(self, name: str) -> Phase:
        load, storm = self._experiment.load, self._experiment.storm
        asks = [*asks_of(self._experiment, "load", load.requests, load.every_ns)]
        if storm is not None and not self._is_calm:
            more = asks_of(self._experiment, "storm", storm.requests, 0)
            asks += [Ask(a.name, a.prompt, a.max_tokens, storm.at_ns, a.temperature) for a in more]
        rolling = self._experiment.rolling_restart
        if rolling is None or self._is_calm:
            return await self._asked(name, asks)
        restarts = self._world.clock.start(self._rolls(rolling.at_ns), "rolling restart")
        phase = await self._asked(name, asks)
        await restarts
        return phase

    async def _rolls(self, at_ns: int) -> None:
        clock = self._world.clock
        await clock.wait_until(at_ns)

        def step(said: str) -> None:
            self._close()
            self._rolled.append((said, clock.now(), None))

        await restart_each(self._world, step)
        self._close()

    def _close(self) -> None:
        """The restart before is over when the next begins."""
        if self._rolled:
            what, since, _ = self._rolled[-1]
            self._rolled[-1] = (what, since, self._world.clock.now())

    async def _asked(self, name: str, asks: list[Ask]) -> Phase:
        """Until each has ended, or its deadline is over: whoever hangs is cut off then."""
        clock, loop = self._world.clock, asyncio.get_running_loop()
        phase = Phase(name, begun_ns=clock.now())
        tasks: list[asyncio.Task[None]] = []
        latest_ns = 0
        for ask in asks:
            at_ns = phase.begun_ns + ask.at_ns
            told = Told(ask.name, self._stage.right(ask), at_ns, at_ns + self._deadline_ns)
            latest_ns = max(latest_ns, told.deadline_ns)
            phase.told.append(told)
            tasks.append(loop.create_task(self._ask(ask, told), name=ask.name))
        over = clock.call_at(latest_ns + ends.SLACK_NS + 1, _cancel, tasks)
        for found in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(found, Exception):
                raise found
        over.cancel()
        phase.ended_ns = clock.now()
        self._judge(phase)
        return phase

    async def _ask(self, ask: Ask, told: Told) -> None:
        clock = self._world.clock
        await clock.wait_until(told.asked_ns)
        stream = self._world.client.submit(self._stage.request(ask))
        try:
            async for output in stream:
                told.take(output)
                if output.token_ids:
                    told.arrivals.append((clock.now(), len(output.token_ids)))
        except PerfuseError as error:
            told.failed(error.code, error.message)
        told.ended_ns = clock.now()
        await stream.aclose()

    def _judge(self, phase: Phase) -> None:
        is_allowed = self._stage.blueprint.scenario.placement.experts.on_timeout == "replace"
        phase.broken += exact.broken(phase.told)
        phase.broken += once.broken(phase.told)
        phase.broken += ends.broken(phase.told, self._world.clock.now())
        phase.broken += honest.broken(phase.told, is_allowed=is_allowed)

    async def _let_go(self) -> dict[str, int]:
        """What living workers still hold, when they have had a deadline's time to let go."""
        clock = self._world.clock
        lives = {member.node for member in self._world.members}
        dead = [node for node in self._world.nodes if node not in lives]
        left: dict[str, int] = {}
        for _ in range(LOOKS_MAX):
            try:
                left = held(self._world, healed=False, dead=dead)
            except AssertionError as error:  # a page error that nobody has met yet is one
                return {f"a worker's own books are wrong: {error}": 1}
            if not left:
                break
            await clock.wait_until(clock.now() + self._stage.blueprint.timeout_ns)
        return left


def _cancel(tasks: "list[asyncio.Task[None]]") -> None:
    for task in tasks:
        task.cancel()
