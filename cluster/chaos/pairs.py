"""Two faults that are worse together than one after the other: each pair begins with one message.

A single fault seldom finds what was forgotten; what breaks laws is a message that comes when its
sender is another incarnation, a node that dies in the middle of what makes up for the first death,
a disk that is full while somebody has to remember.
"""

from collections.abc import Callable
from dataclasses import replace
from random import Random

from cluster.chaos.setting import Setting
from cluster.chaos.striking import draw_fault, fault_of
from cluster.chaos.trial import ANYONE, ENDS, RECEIVER, SENDER, At, Fault

Pair = tuple[Fault, Fault]


def draw_pair(random: Random, name: str, setting: Setting, at: At | None = None) -> Pair:
    """`at`: when, if that is known."""
    makers: list[Callable[[Random, str, Setting, At], Pair]] = [stale, stale, both, cut, any_two]
    if setting.able["disk"]:
        makers.append(unwritten)
    if setting.able["pool"]:
        makers.append(rotten)
    moment = at if at is not None and at.kind else setting.message(random)
    return random.choice(makers)(random, name, setting, moment)


def _soon(random: Random, setting: Setting) -> int:
    """Back before who waits gives up."""
    return int(setting.deadline_ns * 10 ** random.uniform(-2.5, -0.5))


def stale(random: Random, name: str, setting: Setting, at: At) -> Pair:
    """A message, or its double, arrives when its sender or its receiver is the next incarnation."""
    back_ns = _soon(random, setting)
    late_ns = int(back_ns * random.uniform(1.05, 4)) + 1
    word = random.choice(("delay", "duplicate"))
    for_ns = random.choice((1, 1, back_ns))
    late = Fault(f"{name}a", word, at, random.choice((ENDS, (ANYONE, ANYONE))), at.kind, 1.0,
                 for_ns, late_ns)  # fmt: skip
    return late, Fault(f"{name}b", "crash", at, (random.choice(ENDS),), for_ns=back_ns)


def both(random: Random, name: str, setting: Setting, at: At) -> Pair:
    """Who sent it dies, and who was to get it."""
    first, second = (
        Fault(f"{name}{end}", "crash", at, (node,), for_ns=_soon(random, setting))
        for end, node in (("a", SENDER), ("b", RECEIVER))
    )
    return first, second


def cut(random: Random, name: str, setting: Setting, at: At) -> Pair:
    """These two hear nothing of each other until all is healed, while something else goes wrong."""
    word = random.choice(("partition", "one way"))
    alone = Fault(f"{name}a", word, at, random.choice((ENDS, ENDS[::-1])))
    return alone, draw_fault(random, f"{name}b", setting)


def any_two(random: Random, name: str, setting: Setting, at: At) -> Pair:
    return (
        draw_fault(random, f"{name}a", setting, at),
        draw_fault(random, f"{name}b", setting, at),
    )


def unwritten(random: Random, name: str, setting: Setting, at: At) -> Pair:
    """The disk of a journal is full, and then its router dies."""
    node, back_ns = random.choice(setting.able["disk"]), _soon(random, setting)
    full = Fault(f"{name}a", "disk_full", at, (node,), for_ns=back_ns)
    later = replace(at, nth=at.nth + random.randint(0, 12))
    return full, Fault(f"{name}b", "crash", later, (node,), for_ns=back_ns)


def rotten(random: Random, name: str, setting: Setting, at: At) -> Pair:
    """Two blocks of a pool lose a bit, late, when there is something in it."""
    when = setting.message(random, "pool", late=True) if "pool" in setting.sent else at
    first, second = (
        fault_of(random, f"{name}{end}", "page_error", setting, moment)
        for end, moment in (("a", when), ("b", replace(when, nth=when.nth + 3)))
    )
    return first, second
