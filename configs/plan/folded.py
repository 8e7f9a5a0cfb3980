"""What a plan says of folding."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FoldPlan:
    """Which workers are computed as one object with vectors (`workers.fold`): all chips and all
    shards, or nobody; and why nobody.
    """

    chips: tuple[str, ...] = ()
    shards: tuple[str, ...] = ()
    why_not: tuple[str, ...] = ()

    def __contains__(self, worker: str) -> bool:
        return worker in self.chips or worker in self.shards

    @property
    def is_on(self) -> bool:
        return bool(self.chips)
