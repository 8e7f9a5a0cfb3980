"""What a flash file has its device do, to be charged to a node's hardware."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class Effort:
    """Physical pages, in the order in which they were read and programmed, and blocks erased: what
    was asked for, and what reclaiming and levelling added to it.
    """

    read: list[int] = field(default_factory=list)
    programmed: list[int] = field(default_factory=list)
    erased: list[int] = field(default_factory=list)

    def taken(self) -> "Effort":
        """What there is so far; from now on it counts anew."""
        so_far = Effort(self.read, self.programmed, self.erased)
        self.read, self.programmed, self.erased = [], [], []
        return so_far
