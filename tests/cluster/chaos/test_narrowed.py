"""A narrow link is felt until what it took has crossed, also when it is wide again."""

from cluster.chaos.narrowed import Narrowed
from cluster.chaos.trial import ANYONE, At, Fault
from workers.host.clock.virtual import VirtualClock

# 1,000 bytes/s: a byte takes a million ns.
FAULT = Fault("f", "narrow", At(), ("a", "b"), amount=1_000)
BYTE_NS = 1_000_000


def test_what_was_sent_while_it_was_narrow_crosses_to_the_end() -> None:
    narrowed = Narrowed(VirtualClock())
    narrowed.begins(FAULT)
    narrowed.carries("a", "b", 5)
    narrowed.carries("a", "b", 2)
    assert narrowed.until_ns() == 0  # while it is: now
    narrowed.ends(FAULT)
    assert narrowed.until_ns() == 7 * BYTE_NS
    narrowed.carries("a", "b", 100)  # it is wide
    assert narrowed.until_ns() == 7 * BYTE_NS


def test_other_ways_are_not_held_up() -> None:
    narrowed = Narrowed(VirtualClock())
    narrowed.begins(FAULT)
    narrowed.carries("b", "a", 5)
    narrowed.carries("a", "c", 5)
    narrowed.ends(FAULT)
    assert narrowed.until_ns() == 0


def test_anyone_stands_for_all() -> None:
    narrowed = Narrowed(VirtualClock())
    fault = Fault("f", "narrow", At(), ("a", ANYONE), amount=1_000)
    narrowed.begins(fault)
    narrowed.carries("a", "c", 3)
    narrowed.ends(fault)
    assert narrowed.until_ns() == 3 * BYTE_NS
