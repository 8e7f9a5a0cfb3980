"""From a seed to a trial: a shape, who asks what, and what goes wrong."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from cluster.chaos.able import able_nodes
from cluster.chaos.kinds import KINDS, Deed, Link
from cluster.chaos.points import LATER, point_of
from cluster.chaos.running import TrialRun
from cluster.chaos.shapes import LONGEST, shape
from cluster.chaos.staging import Stages
from cluster.chaos.trial import ANYONE, MILD, Ask, At, Fault, Trial

# So many seeds in a row have one shape, of so many: a shape is calibrated once in each process.
SEEDS_A_SHAPE, NUM_SHAPES = 8, 512
NUM_ASKS = (9, 16)
ANSWER = (4, 20)
PROMPT_MAX = LONGEST - ANSWER[1] - 1
# Drawn more often than others: most answers are told by these.
WEIGHTS: Mapping[str, int] = {"drop": 3, "delay": 3, "crash": 3, "duplicate": 2, "partition": 2}
NUM_FAULTS = (2, 3, 3, 3, 4, 4, 5, 6)
# Of so many trials one is mild, and all that it asks must be answered.
MILD_EVERY = 6
# A deadline is so many times what the longest request takes without faults, and not less than the
# times in which a link of the shape can be noticed to have lost something.
DEADLINES, DEADLINE_MIN_NS = 6, 400_000


@dataclass(frozen=True, slots=True)
class Setting:
    """What a shape's trials are drawn from.

    bare        the trial without asks and faults; its deadline is of this shape
    nodes       all that stand, by name
    able        what a deed takes -> those that have it
    sent        life-cycle point -> word -> messages of a calm run
    longest_ns  of a request in a calm run
    broken      that calm run, if it broke a law without any fault: what there is to report
    """

    bare: Trial
    nodes: tuple[str, ...]
    able: Mapping[str, tuple[str, ...]]
    sent: Mapping[str, Mapping[str, int]]
    longest_ns: int
    deadline_ns: int
    broken: Trial | None = None


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
        asks = draw_asks(random, setting.longest_ns * 2)
        names = range(random.choice(NUM_FAULTS))
        draw = draw_mild if random.random() * MILD_EVERY < 1 else draw_fault
        faults = tuple(draw(random, f"f{number}", setting) for number in names)
        return replace(setting.bare, name=str(seed), asks=asks, faults=faults)

    def setting(self, seed: int) -> Setting:
        """Of the seed's shape."""
        number = seed // SEEDS_A_SHAPE % NUM_SHAPES
        if number not in self._settings:
            self._settings[number] = self._calibrated(number)
        return self._settings[number]

    def _calibrated(self, number: int) -> Setting:
        made = shape(number, self._numerics)
        bare = made.bare(f"shape {number}")
        calm = replace(bare, asks=draw_asks(Random(f"calm {number}"), 0))
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
        return Setting(bare, nodes, able, sent, run.longest_ns, deadline_ns, broken)


def draw_asks(random: Random, within_ns: int) -> tuple[Ask, ...]:
    """Some share how their prompts begin; some are asked twice, some sampled, a few left."""
    return tuple(
        draw_ask(random, f"r{number}", within_ns) for number in range(random.randint(*NUM_ASKS))
    )


def draw_ask(random: Random, name: str, within_ns: int) -> Ask:
    shared = random.choice((0, 0, 16, 40))
    length = random.randint(max(shared, 1) + 1, PROMPT_MAX)
    return Ask(
        name,
        (random.randrange(12), length, shared),
        random.randint(*ANSWER),
        random.randint(0, within_ns),
        random.choice((0.0, 0.0, 0.8)),
        random.randrange(6) if random.random() < 0.1 else None,
        random.randint(1, 6) if random.random() < 0.15 else None,
    )


def draw_fault(random: Random, name: str, setting: Setting) -> Fault:
    """Most begin with a message, of any kind that a calm run of the shape sends."""
    words = [word for word, what in KINDS.items() if _has_nodes(what, setting)]
    word = random.choices(words, [WEIGHTS.get(word, 1) for word in words])[0]
    what = KINDS[word]
    deadline_ns = setting.deadline_ns
    for_ns = None if random.random() < 0.2 else int(deadline_ns * 10 ** random.uniform(-2, 0.5))
    amount = what.amount(random, deadline_ns)
    at = draw_at(random, setting)
    if isinstance(what, Deed):
        alone = (random.choice(setting.able[what.of]),)
        nodes = _link(random, setting) if what.num_nodes == 2 else alone
        return Fault(name, word, at, nodes, for_ns=for_ns, amount=amount)
    return _of_link(random, setting, what, Fault(name, word, at, ("", ""), ANYONE, 1.0, for_ns,
                                                 amount))  # fmt: skip


def _has_nodes(what: Link | Deed, setting: Setting) -> bool:
    return isinstance(what, Link) or bool(setting.able[what.of])


def draw_mild(random: Random, name: str, setting: Setting) -> Fault:
    """One message is lost, damaged or doubled."""
    at = draw_at(random, setting)
    while not at.kind:
        at = draw_at(random, setting)
    late_ns = random.randint(0, setting.longest_ns)
    return Fault(name, random.choice(MILD), at, (ANYONE, ANYONE), at.kind, 1.0, 1, late_ns)


def _of_link(random: Random, setting: Setting, what: Link, fault: Fault) -> Fault:
    """A cut hits all between two, or all of one; another fault one kind on all links, or some of
    everything on one.
    """
    if what.is_total:
        alone = random.choice(setting.nodes), ANYONE
        return replace(fault, nodes=alone if random.random() < 0.4 else _link(random, setting))
    chance = random.choice((0.05, 0.2, 0.5, 1.0))
    if random.random() < 0.7:
        word = random.choice(list(setting.sent[_point(random, setting)]))
        return replace(fault, nodes=(ANYONE, ANYONE), kind=word, chance=chance)
    return replace(fault, nodes=_link(random, setting), chance=min(chance, 0.5))


def _link(random: Random, setting: Setting) -> tuple[str, str]:
    first, second = random.sample(setting.nodes, 2)
    return first, second


def draw_at(random: Random, setting: Setting) -> At:
    """The nth message of a kind that a calm run sends, early ones more often; or some time."""
    if random.random() < 0.15:
        return At(ns=random.randint(0, 3 * setting.longest_ns))
    words = setting.sent[_point(random, setting)]
    word = random.choice(list(words))
    return At(word, int(words[word] ** random.random()))


def _point(random: Random, setting: Setting) -> str:
    """Each as often as any other: most messages belong to few of them."""
    return random.choice(list(setting.sent))
