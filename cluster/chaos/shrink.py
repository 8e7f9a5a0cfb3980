"""A failure is reduced: the fewest faults, requests and nodes that still break the same law.

What chance chose is written out first, message by message, so that taking one fault away does not
change what another one hits. Then each step tries something smaller, and keeps it if it still
fails; every run is as repeatable as the first.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from cluster.chaos.kinds import KINDS, Link
from cluster.chaos.trial import Seen, Trial
from configs.schema import ScenarioError

RUNS_MAX = 250

Run = Callable[[Trial], Seen]


@dataclass(slots=True)
class Shrunk:
    """trial   the smallest that was found          seen   what it shows
    num_runs   that it took
    """

    trial: Trial
    seen: Seen
    num_runs: int


def shrink(trial: Trial, seen: Seen, run: Run, runs_max: int = RUNS_MAX) -> Shrunk:
    """Of a trial that broke a law, as `seen` says. Raises ValueError for one that broke none."""
    if not seen.broken:
        raise ValueError(f"trial {trial.name} broke no law: there is nothing to shrink")
    return _Shrinking(trial, seen, run, runs_max).done()


class _Shrinking:
    def __init__(self, trial: Trial, seen: Seen, run: Run, runs_max: int) -> None:
        self._laws = seen.laws
        self._best, self._seen, self._run, self._left = trial, seen, run, runs_max
        self._runs_max = runs_max

    def done(self) -> Shrunk:
        self._try(frozen(self._best, self._seen))
        before: Trial | None = None
        while before != self._best and self._left > 0:
            before = self._best
            for step in (_fewer_faults, _fewer_asks, _fewer_nodes, _fewer_hits, _simpler):
                self._all_of(step)
        return Shrunk(self._best, self._seen, self._runs_max - self._left)

    def _all_of(self, step: Callable[[Trial], Iterator[Trial]]) -> None:
        """Again from the start whenever one was kept."""
        kept = True
        while kept and self._left > 0:
            kept = any(self._try(smaller) for smaller in step(self._best))

    def _try(self, trial: Trial) -> bool:
        """Whether it fails as the first did."""
        if self._left <= 0 or trial == self._best:
            return False
        self._left -= 1
        try:
            seen = self._run(trial)
        except ScenarioError:
            return False  # this cluster cannot stand without what was taken away
        if not seen.laws & self._laws:
            return False
        self._best, self._seen = trial, seen
        return True


def frozen(trial: Trial, seen: Seen) -> Trial:
    """With each chance spelled out as the messages that it chose; faults that hit nothing go."""
    kept = []
    for fault in trial.faults:
        if isinstance(KINDS[fault.what], Link) and fault.chance < 1 and fault.hits is None:
            hits = tuple(seen.hits.get(fault.name, ()))
            if hits:
                kept.append(replace(fault, chance=1.0, hits=hits))
        else:
            kept.append(fault)
    return replace(trial, faults=tuple(kept))


def _halves(number: int) -> Iterator[tuple[int, int]]:
    """Parts to leave out, from large to small: (first, behind the last)."""
    size = number
    while size >= 1:
        for first in range(0, number, size):
            yield first, min(first + size, number)
        size //= 2


def _fewer_faults(trial: Trial) -> Iterator[Trial]:
    for first, end in _halves(len(trial.faults)):
        yield replace(trial, faults=trial.faults[:first] + trial.faults[end:])


def _fewer_asks(trial: Trial) -> Iterator[Trial]:
    for first, end in _halves(len(trial.asks)):
        yield replace(trial, asks=trial.asks[:first] + trial.asks[end:])


def _fewer_hits(trial: Trial) -> Iterator[Trial]:
    for place, fault in enumerate(trial.faults):
        if fault.hits is None:
            continue
        for first, end in _halves(len(fault.hits)):
            left = fault.hits[:first] + fault.hits[end:]
            if left:
                one = replace(fault, hits=left)
                yield replace(
                    trial, faults=(*trial.faults[:place], one, *trial.faults[place + 1 :])
                )


def _fewer_nodes(trial: Trial) -> Iterator[Trial]:
    """One node of a group fewer, or the group's spares, or a group that is not needed."""
    for group, node in trial.groups.items():
        if node.get("count", 1) > 1:
            yield _with_group(trial, group, {**node, "count": node["count"] - 1})
        if node.get("spares"):
            yield _with_group(trial, group, {k: v for k, v in node.items() if k != "spares"})
        if group == "memory":
            placement = trial.scenario["placement"]
            others = {k: v for k, v in placement.items() if not k.startswith("kv_")}
            smaller = _with_group(trial, group, None)
            yield replace(smaller, scenario={**smaller.scenario, "placement": others})


def _with_group(trial: Trial, group: str, node: dict[str, Any] | None) -> Trial:
    nodes = {name: one for name, one in trial.groups.items() if name != group}
    if node is not None:
        nodes = {name: node if name == group else one for name, one in trial.groups.items()}
    cluster = {**trial.scenario["cluster"], "nodes": nodes}
    return replace(trial, scenario={**trial.scenario, "cluster": cluster})


def _simpler(trial: Trial) -> Iterator[Trial]:
    """What is left asks for less: fewer tokens, shorter prompts, nobody samples or leaves."""
    for place, ask in enumerate(trial.asks):
        number, length, shared = ask.prompt
        for one in (
            replace(ask, leaves_after=None),
            replace(ask, resends_after=None),
            replace(ask, temperature=0.0),
            replace(ask, max_tokens=max(ask.max_tokens // 2, 1)),
            replace(ask, prompt=(number, max(length // 2, shared + 1), shared)),
        ):
            yield replace(trial, asks=(*trial.asks[:place], one, *trial.asks[place + 1 :]))
