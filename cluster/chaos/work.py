"""One process of a search: it makes trials by their names and runs them."""

import gc
from pathlib import Path

from cluster.chaos.drawing import Drawing
from cluster.chaos.laws import same
from cluster.chaos.mutating import trial_of
from cluster.chaos.running import run_trial
from cluster.chaos.staging import Stages
from cluster.chaos.trial import Seen, Trial

# Every so manieth seed is run twice (law 6).
REPEATED = 16
# Worlds are circles, of some MB each: looked for after so many.
TRIALS_A_COLLECTION = 8


class Worker:
    """numerics   "digest" or "real"        folder   for files, which its owner takes away"""

    def __init__(self, numerics: str, folder: Path) -> None:
        self.stages = Stages(folder)
        self._drawing = Drawing(self.stages, numerics)
        self._num_run = 0

    def trial(self, name: str) -> Trial:
        """Raises ValueError for what is no name."""
        return trial_of(name, self._drawing)

    def run(self, trial: Trial, *, twice: bool = False) -> Seen:
        """`twice`: law 6 is looked at too."""
        seen = self._once(trial)
        if twice:
            seen.broken += same.broken(seen.trace_hash, self._once(trial).trace_hash)
        return seen

    def named(self, name: str) -> Seen:
        """The trial of a name, as a search runs it: without its picture."""
        seen = self.run(self.trial(name), twice=int(name.split(".")[0]) % REPEATED == 0)
        seen.reach = frozenset(self._drawing.setting(int(name.split(".")[0])).cells())
        seen.marks.clear()
        if not seen.broken:
            seen.hits.clear()
        return seen

    def _once(self, trial: Trial) -> Seen:
        gc.disable()
        try:
            return run_trial(trial, self.stages)
        finally:
            self._num_run += 1
            if self._num_run % TRIALS_A_COLLECTION == 0:
                gc.collect()
            gc.enable()
