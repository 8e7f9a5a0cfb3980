"""What lasts a while inside a node: how slow it is, how much of its memory is another's, and how
wrong its clock.
"""

from dataclasses import dataclass

from configs.schema.faults import ClockSkewFault, OutOfMemoryFault, SlowFault


@dataclass(frozen=True, slots=True)
class Spell:
    """slow       what it launches takes so many times as long
    share      of its room for KV that is a neighbour's
    ahead_ns   its clock is ahead; below 0, behind
    drift_ppm  and gains so much from then on
    """

    slow: float = 1.0
    share: float = 0.0
    ahead_ns: int = 0
    drift_ppm: float = 0.0

    @property
    def is_of_clock(self) -> bool:
        return bool(self.ahead_ns or self.drift_ppm)

    def __str__(self) -> str:
        if self.share:
            return f"{self.share:.0%}"
        if self.is_of_clock:
            return f"{self.ahead_ns} ns {self.drift_ppm:g} ppm"
        return f"{self.slow:g}"


def spell_of(fault: SlowFault | OutOfMemoryFault | ClockSkewFault) -> Spell:
    match fault:
        case SlowFault():
            return Spell(slow=fault.attributes.factor)
        case OutOfMemoryFault():
            return Spell(share=fault.attributes.share)
        case ClockSkewFault():
            wrong = fault.attributes
            return Spell(ahead_ns=wrong.offset_ns, drift_ppm=wrong.drift_ppm)
