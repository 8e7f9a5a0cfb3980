"""What a search has reached: faults at life-cycle points, and features that nobody met before."""

from collections import Counter
from collections.abc import Iterator

from cluster.chaos.kinds import IMPOSSIBLE, KINDS
from cluster.chaos.points import POINTS
from cluster.chaos.trial import Seen

CORPUS_MAX = 512
NEAR_MAX = 32


class Coverage:
    """`add` in the order of the search: what is new depends on it, and on nothing else."""

    def __init__(self) -> None:
        self.cells: Counter[tuple[str, str]] = Counter()
        self._features: set[str] = set()
        # Trials that reached something new, the latest last.
        self.corpus: list[str] = []
        # Cell -> seeds in whose clusters it can be met, the latest few.
        self._near: dict[tuple[str, str], list[str]] = {}

    @property
    def num_features(self) -> int:
        return len(self._features)

    def add(self, seen: Seen) -> bool:
        """Whether it reached anything new."""
        self.cells.update(seen.cells)
        for cell in seen.reach:
            near = self._near.setdefault(cell, [])
            if seen.name.split(".")[0] not in near:
                near.append(seen.name.split(".")[0])
                del near[:-NEAR_MAX]
        new = seen.features - self._features
        if new:
            self._features |= new
            self.corpus.append(seen.name)
            del self.corpus[:-CORPUS_MAX]
        return bool(new)

    def rows(self) -> Iterator[tuple[str, list[str]]]:
        """Fault -> how often at each of POINTS; "-" where that cannot be."""
        for what in KINDS:
            yield (
                what,
                [
                    "-" if (what, point) in IMPOSSIBLE else f"{self.cells[what, point]:,}"
                    for point in POINTS
                ],
            )

    def empty(self) -> list[tuple[str, str]]:
        """Cells that could be met, and were not."""
        cells = [(what, point) for what in KINDS for point in POINTS]
        return [cell for cell in cells if not self.cells[cell] and cell not in IMPOSSIBLE]

    def wanted(self) -> list[tuple[tuple[str, str], list[str]]]:
        """Empty cells that trials so far could have met, each with the seeds of such trials."""
        return [(cell, self._near[cell]) for cell in self.empty() if cell in self._near]

    def out_of_reach(self) -> list[tuple[str, str]]:
        """Empty cells that no cluster of this search could meet."""
        return [cell for cell in self.empty() if cell not in self._near]
