"""A failure is reduced to what it needs, where what it needs is known."""

from dataclasses import replace

import pytest

from cluster.chaos.shrink import frozen, shrink
from cluster.chaos.trial import Ask, At, Fault, Hit, Seen, Trial

LINK = ("*", "*")
HIT: Hit = ("a", "b", "tokens", 3)
OTHER: Hit = ("a", "b", "tokens", 5)
FAULTS = tuple(
    Fault(f"f{i}", what, At("submit", 1), ("a",) if what == "crash" else LINK, chance=chance)
    for i, (what, chance) in enumerate(
        [("drop", 0.5), ("crash", 1.0), ("partition", 1.0), ("delay", 0.2)]
    )
)
SCENARIO = {
    "cluster": {"nodes": {"chip": {"count": 3}, "memory": {"count": 1}}},
    "placement": {"kv_pool": True, "reserve": "full"},
}
TRIAL = Trial("9", SCENARIO, None, tuple(Ask(f"r{i}", (i, 40, 0), 8) for i in range(6)), FAULTS)


def seen_of(trial: Trial) -> Seen:
    """It fails where f1 is there, f0 hits one message and r4 is asked."""
    seen = Seen(trial.name)
    names = {fault.name: fault for fault in trial.faults}
    if "f0" in names:
        hits = names["f0"].hits
        seen.hits["f0"] = [HIT, OTHER] if hits is None else list(hits)
    asked = any(ask.name == "r4" for ask in trial.asks)
    if "f1" in names and HIT in seen.hits.get("f0", ()) and asked:
        seen.broken.append("exact: r4 heard 1 at position 0, not 2")
    return seen


def test_chance_is_spelled_out_first() -> None:
    made = frozen(TRIAL, seen_of(TRIAL))
    assert [fault.name for fault in made.faults] == ["f0", "f1", "f2"]  # f3 hit nothing
    assert made.faults[0] == replace(FAULTS[0], chance=1.0, hits=(HIT, OTHER))


def test_what_is_left_is_what_it_needs() -> None:
    small = shrink(TRIAL, seen_of(TRIAL), seen_of)
    assert [fault.name for fault in small.trial.faults] == ["f0", "f1"]
    assert small.trial.faults[0].hits == (HIT,)
    assert [ask.name for ask in small.trial.asks] == ["r4"]
    assert small.trial.asks[0].max_tokens == 1
    assert small.trial.groups == {"chip": {"count": 1}}
    assert small.trial.scenario["placement"] == {"reserve": "full"}
    assert small.seen.laws == {"exact"}
    assert seen_of(small.trial).broken == small.seen.broken


def test_another_law_is_another_failure() -> None:
    """What is smaller and breaks something else is not kept."""

    def run(trial: Trial) -> Seen:
        seen = seen_of(trial)
        if not seen.broken:
            seen.broken.append("clean: something else")
        return seen

    assert [f.name for f in shrink(TRIAL, seen_of(TRIAL), run).trial.faults] == ["f0", "f1"]


def test_it_ends() -> None:
    runs = []

    def run(trial: Trial) -> Seen:
        runs.append(trial)
        return seen_of(trial)

    small = shrink(TRIAL, seen_of(TRIAL), run, runs_max=7)
    assert len(runs) == small.num_runs == 7
    with pytest.raises(ValueError, match="broke no law"):
        shrink(TRIAL, Seen("9"), run)
