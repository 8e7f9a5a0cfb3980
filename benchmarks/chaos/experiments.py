"""The part `experiments`: all that are shipped, a row each.

Expected of each before it ran for the first time, and what came out: in its file
(`configs/experiments`).
"""

from collections.abc import Iterable

from benchmarks.rows import Row
from cluster.chaos.experiments.phases import run_experiment
from cluster.chaos.experiments.schema import experiment_path, load_experiment, shipped
from cluster.chaos.experiments.verdict import last_line, row

EVIDENCE = "measured: emulated time, virtual world, every answer beside its reference"


def rows() -> Iterable[Row]:
    """How many of its comparisons hold; what does not is named."""
    for name in shipped():
        path = experiment_path(name)
        experiment = load_experiment(path)
        outcome = run_experiment(experiment, path)
        wrong = [f"{claim} (seen {seen})" for claim, seen, *_, holds in
                 map(row, outcome.verdicts) if not holds]  # fmt: skip
        held = len(outcome.verdicts) - len(wrong)
        told = "; ".join((last_line(outcome), *wrong))
        bar = f"all {len(outcome.verdicts)}"
        what = f"{name}: {experiment.about.strip()}"
        evidence = EVIDENCE if outcome.holds else f"{EVIDENCE}; {told}"
        yield Row(what, held, "comparisons hold", bar, outcome.holds, evidence)
