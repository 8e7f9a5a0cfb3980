"""What may go wrong with a message on its way: a list of rules, each answering pass, delay, drop,
duplicate or corrupt.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from workers.wire.message import Message
from workers.wire.roles import Array
from workers.wire.transport import frame


@dataclass(frozen=True, slots=True)
class Pass:
    """Nothing happens to the message."""


@dataclass(frozen=True, slots=True)
class Delay:
    """It arrives later by `delay_ns`."""

    delay_ns: int


@dataclass(frozen=True, slots=True)
class Drop:
    """It never arrives."""


@dataclass(frozen=True, slots=True)
class Duplicate:
    """It arrives twice, the second time later by `delay_ns`."""

    delay_ns: int = 0


@dataclass(frozen=True, slots=True)
class Corrupt:
    """One of its bits arrives flipped."""


Verdict = Pass | Delay | Drop | Duplicate | Corrupt


class Rule(Protocol):
    """What may go wrong between two nodes. `source` and `destination` are nodes."""

    def judge(self, source: str, destination: str, message: Message[Any]) -> Verdict: ...


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of a message when all rules have spoken.

    delays_ns   one entry for each copy that arrives: how much later than without rules
    corrupt     whether what arrives has a flipped bit
    """

    delays_ns: tuple[int, ...] = (0,)
    corrupt: bool = False


# Of nearly every message.
UNHARMED = Fate()


def fate_of(
    rules: Mapping[str, Rule], source: str, destination: str, message: Message[Any]
) -> Fate:
    """Rules add up, as on a real path: delays sum, and what one rule drops no other can save."""
    delay_ns, copies_ns, corrupt = 0, [0], False
    for rule in rules.values():
        verdict = rule.judge(source, destination, message)
        if type(verdict) is Pass:
            continue
        match verdict:
            case Drop():
                return Fate(())
            case Delay(more_ns):
                delay_ns += more_ns
            case Duplicate(later_ns):
                copies_ns.append(later_ns)
            case Corrupt():
                corrupt = True
    if not delay_ns and not corrupt and len(copies_ns) == 1:
        return UNHARMED
    return Fate(tuple(delay_ns + copy_ns for copy_ns in copies_ns), corrupt)


def flip_bit(message: Message[Any]) -> Message[Any]:
    """The message under its true checksum, with one bit of its first array flipped.

    Without an array the checksum itself is what is hit.
    """
    checksum = frame.checksum(message)
    packed = message.content.pack()
    for arrays in (packed.tensors, packed.columns):
        for name, array in arrays.items():
            if array.nbytes:
                arrays[name] = _flipped(array, message.message_id)
                content = type(message.content).unpack(packed)
                return replace(message, checksum=checksum, content=content)
    # In a Message 0 means "no checksum", so the bit must not be the last one that is set.
    return replace(message, checksum=checksum ^ (1 if checksum != 1 else 2))


def _flipped(array: Array, position: int) -> Array:
    data = bytearray(array.tobytes())
    data[position % len(data)] ^= 1 << position % 8
    return np.frombuffer(data, dtype=array.dtype).reshape(array.shape)
