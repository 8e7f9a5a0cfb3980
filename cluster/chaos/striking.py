"""What goes wrong, one fault at a time: of which kind, when, with whom and for how long."""

from collections.abc import Mapping
from dataclasses import replace
from random import Random

from cluster.chaos.kinds import KINDS, Deed, Link
from cluster.chaos.setting import Setting
from cluster.chaos.trial import ANYONE, ENDS, MILD, ROLLING, At, Fault

# Drawn more often than others: most answers are told by these.
WEIGHTS: Mapping[str, int] = {
    "drop": 3, "delay": 3, "crash": 6, "duplicate": 2, "partition": 2, "corrupt": 2,
    "page_error": 3,
}  # fmt: skip
# Of faults that begin with a message so many strike its sender or its receiver.
AIMED = 0.6
# Of faults so many last until all is healed; of cuts more: what nobody can be told shows only then.
FOREVER, CUT_FOREVER = 0.2, 0.4


def draw_fault(random: Random, name: str, setting: Setting, at: At | None = None) -> Fault:
    """Most begin with a message, of any kind that a calm run of the shape sends."""
    words = setting.words
    word = random.choices(words, [WEIGHTS.get(word, 1) for word in words])[0]
    when = setting.moment(random) if at is None else at
    return fault_of(random, name, word, setting, when)


def fault_of(random: Random, name: str, word: str, setting: Setting, at: At) -> Fault:
    """One of a kind, at a moment."""
    what, deadline_ns = KINDS[word], setting.deadline_ns
    amount, for_ns = what.amount(random, deadline_ns), _lasts(random, what, deadline_ns)
    fault = Fault(name, word, at, ("", ""), ANYONE, 1.0, for_ns, amount)
    if isinstance(what, Deed):
        return replace(fault, nodes=_of_deed(random, setting, what, at))
    return _of_link(random, setting, what, fault)


def _lasts(random: Random, what: Link | Deed, deadline_ns: int) -> int | None:
    is_cut = isinstance(what, Link) and what.is_total
    if random.random() < (CUT_FOREVER if is_cut else FOREVER):
        return None
    return int(deadline_ns * 10 ** random.uniform(-2.5, 0.5))


def draw_mild(random: Random, name: str, setting: Setting) -> Fault:
    """One message is lost, damaged or doubled."""
    at = setting.message(random)
    late_ns = random.randint(0, setting.longest_ns)
    return Fault(name, random.choice(MILD), at, (ANYONE, ANYONE), at.kind, 1.0, 1, late_ns)


def draw_rolling(random: Random, name: str, setting: Setting, point: str = "") -> Fault:
    """All restart, from some message on."""
    return Fault(name, ROLLING, setting.message(random, point), (ANYONE,))


def _of_deed(random: Random, setting: Setting, what: Deed, at: At) -> tuple[str, ...]:
    is_aimed = bool(at.kind) and not what.of and random.random() < AIMED
    if what.num_nodes == 2:
        return ENDS if is_aimed else _link(random, setting)
    return (random.choice(ENDS if is_aimed else setting.able[what.of]),)


def _of_link(random: Random, setting: Setting, what: Link, fault: Fault) -> Fault:
    """A cut hits all between two, or all of one; another fault one kind on all links, the very
    message that it begins with, or some of everything on one.
    """
    is_aimed = bool(fault.at.kind) and random.random() < AIMED
    if what.is_total:
        if is_aimed:
            return replace(fault, nodes=random.choice((ENDS, (random.choice(ENDS), ANYONE))))
        alone = random.choice(setting.nodes), ANYONE
        return replace(fault, nodes=alone if random.random() < 0.4 else _link(random, setting))
    chance = random.choice((0.05, 0.2, 0.5, 1.0))
    if is_aimed:
        word, for_ns = fault.at.kind, 1 if random.random() < 0.4 else fault.for_ns
        nodes = random.choice((ENDS, (ANYONE, ANYONE)))
        return replace(fault, nodes=nodes, kind=word, chance=1.0, for_ns=for_ns)
    if random.random() < 0.7:
        word = random.choice(list(setting.sent[setting.point(random)]))
        return replace(fault, nodes=(ANYONE, ANYONE), kind=word, chance=chance)
    return replace(fault, nodes=_link(random, setting), chance=min(chance, 0.5))


def _link(random: Random, setting: Setting) -> tuple[str, str]:
    first, second = random.sample(setting.nodes, 2)
    return first, second
