"""From a seed to a trial: a shape, who asks what, and what goes wrong."""

from dataclasses import replace
from random import Random
from typing import Any

from cluster.chaos.able import able_nodes
from cluster.chaos.asking import draw_asks, prompts_of
from cluster.chaos.pairs import draw_pair
from cluster.chaos.points import LATER, point_of
from cluster.chaos.running import TrialRun
from cluster.chaos.setting import Setting
from cluster.chaos.shapes import PATIENCE_NS, shape
from cluster.chaos.staging import Stages
from cluster.chaos.striking import draw_fault, draw_mild, draw_rolling
from cluster.chaos.trial import Fault, Trial

# So many seeds in a row have one shape, of so many: a shape is calibrated once in each process.
SEEDS_A_SHAPE, NUM_SHAPES = 8, 512
NUM_FAULTS = (2, 3, 3, 3, 4, 4, 5, 6)
# Of so many trials one is mild, and all that it asks must be answered.
MILD_EVERY = 6
# Of mild trials so many meet a rolling restart.
ROLLS = 0.4
# Who asks while nodes restart asks so many times later: it takes that much longer.
LATER_ASKS = 12
# So many others have deadlines that are far away.
PATIENT = 0.5
# Faults whose amount is a time.
HOLDS_BACK = ("delay", "duplicate")
# How often two faults begin together.
PAIRED = 0.5
# A deadline is so many times what the longest request takes without faults, and not less than the
# times in which a link of the shape can be noticed to have lost something.
DEADLINES, DEADLINE_MIN_NS = 6, 400_000


class Drawing:
    """Trials by seed. What shapes are calibrated to is kept."""

    def __init__(self, stages: Stages, numerics: str) -> None:
        self._stages, self._numerics = stages, numerics
        self._settings: dict[int, Setting] = {}

    def trial(self, seed: int) -> Trial:
        setting = self.setting(seed)
        if setting.broken is not None:
            return replace(setting.broken, name=str(seed))
        random = Random(f"chaos {self._numerics} {seed}")
        asks = draw_asks(random, setting.prompts, setting.longest_ns * 2)
        number = random.choice(NUM_FAULTS)
        if random.random() * MILD_EVERY < 1:
            faults = tuple(draw_mild(random, f"f{i}", setting) for i in range(number))
            if random.random() < ROLLS:
                faults = (draw_rolling(random, "f0", setting), *faults[1:])
        else:
            faults = draw_faults(random, number, setting)
        trial = replace(setting.bare, name=str(seed), asks=asks, faults=faults)
        if trial.rolls:
            return busy_meanwhile(patient(trial))
        return passing(trial, setting) if random.random() < PATIENT else trial

    def setting(self, seed: int) -> Setting:
        """Of the seed's shape."""
        number = seed // SEEDS_A_SHAPE % NUM_SHAPES
        if number not in self._settings:
            self._settings[number] = self._calibrated(number)
        return self._settings[number]

    def _calibrated(self, number: int) -> Setting:
        made, prompts = shape(number, self._numerics), prompts_of(number)
        bare = made.bare(f"shape {number}")
        calm = replace(bare, asks=draw_asks(Random(f"calm {number}"), prompts, 0))
        run = TrialRun(calm, self._stages.of(bare))
        broken = calm if run.run().broken else None
        deadline_ns = max(DEADLINES * run.longest_ns, DEADLINE_MIN_NS)
        scenario: dict[str, Any] = {
            **made.scenario, "slo": {**made.scenario["slo"], "deadline": f"{deadline_ns} ns"}
        }  # fmt: skip
        bare = replace(bare, scenario=scenario)
        nodes = tuple(node.name for node in self._stages.of(bare).blueprint.plan.nodes)
        counts = run.sent_first | dict.fromkeys(LATER, 1)
        sent: dict[str, dict[str, int]] = {}
        for word, count in sorted(counts.items()):
            if point := point_of(word):
                sent.setdefault(point, {})[word] = count
        able = able_nodes(self._stages.of(bare).blueprint) | {"": nodes}
        return Setting(bare, nodes, able, sent, prompts, run.longest_ns, deadline_ns, broken)


def patient(trial: Trial) -> Trial:
    """With deadlines that are far away: to wait at the door, and to see who hangs."""
    slo = {**trial.scenario["slo"], "deadline": f"{PATIENCE_NS} ns"}
    return replace(trial, scenario={**trial.scenario, "slo": slo})


def passing(trial: Trial, setting: Setting) -> Trial:
    """Patient, and all that goes wrong is over soon: nobody may hang after that."""
    most_ns = setting.deadline_ns
    faults = [
        replace(
            fault,
            for_ns=most_ns if fault.for_ns is None else min(fault.for_ns, most_ns),
            amount=min(fault.amount, most_ns) if fault.what in HOLDS_BACK else fault.amount,
        )
        for fault in trial.faults
    ]
    return patient(replace(trial, faults=tuple(faults)))


def busy_meanwhile(trial: Trial) -> Trial:
    """Every other one asks while nodes restart."""
    asks = [
        replace(ask, at_ns=ask.at_ns * LATER_ASKS) if number % 2 else ask
        for number, ask in enumerate(trial.asks)
    ]
    return replace(trial, asks=tuple(asks))


def draw_faults(random: Random, number: int, setting: Setting) -> tuple[Fault, ...]:
    """About so many, alone or in pairs."""
    faults: list[Fault] = []
    while len(faults) < number:
        name = f"f{len(faults)}"
        if len(faults) + 2 <= number and random.random() < PAIRED:
            faults += draw_pair(random, name, setting)
        else:
            faults.append(draw_fault(random, name, setting))
    return tuple(faults)
