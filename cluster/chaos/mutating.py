"""Trials made of trials: a schedule that reached something new is changed a little.

A mutant is named by its seed and its mutations, "17.3.5": anybody can make it again from its name
alone, whatever search it was found in.
"""

from dataclasses import replace
from random import Random

from cluster.chaos.drawing import Drawing, Setting, draw_ask, draw_at, draw_fault
from cluster.chaos.trial import Fault, Trial

FAULTS_MAX = 10
MUTATIONS_MAX = 12


def trial_of(name: str, drawing: Drawing) -> Trial:
    """The trial of a name. Raises ValueError saying what a name is."""
    parts = name.split(".")
    if not all(part.isascii() and part.isdigit() for part in parts):
        raise ValueError(
            f"{name!r} names no trial: it must be a seed, as 17, or a seed and mutations, as 17.3.5"
        )
    if len(parts) > MUTATIONS_MAX + 1:
        raise ValueError(f"{name}: has {len(parts) - 1} mutations, at most {MUTATIONS_MAX}")
    seed = int(parts[0])
    trial, setting = drawing.trial(seed), drawing.setting(seed)
    for end in range(2, len(parts) + 1):
        so_far = ".".join(parts[:end])
        trial = mutated(trial, setting, Random(f"chaos mutant {so_far}"), so_far)
    return trial


def mutated(trial: Trial, setting: Setting, random: Random, name: str) -> Trial:
    """One or two changes."""
    for number in range(random.choice((1, 1, 2))):
        change = random.choice((_again_elsewhere, _another, _pair, _moved, _longer, _other_asks))
        trial = change(trial, setting, random, f"{name}-{number}")
    return replace(trial, name=name)


def _with(trial: Trial, fault: Fault, place: int | None = None) -> Trial:
    """One more, or another in its place."""
    faults = list(trial.faults)
    if place is not None:
        faults[place] = fault
    elif len(faults) < FAULTS_MAX:
        faults.append(fault)
    return replace(trial, faults=tuple(faults))


def _another(trial: Trial, setting: Setting, random: Random, name: str) -> Trial:
    return _with(trial, draw_fault(random, name, setting))


def _again_elsewhere(trial: Trial, setting: Setting, random: Random, name: str) -> Trial:
    """A fault that is there already strikes once more, at another moment."""
    if not trial.faults:
        return _another(trial, setting, random, name)
    fault = random.choice(trial.faults)
    return _with(trial, replace(fault, name=name, at=draw_at(random, setting)))


def _pair(trial: Trial, setting: Setting, random: Random, name: str) -> Trial:
    """A new fault at the very moment of an old one, or while it lasts."""
    if not trial.faults:
        return _another(trial, setting, random, name)
    at = random.choice(trial.faults).at
    return _with(trial, replace(draw_fault(random, name, setting), at=at))


def _moved(trial: Trial, setting: Setting, random: Random, name: str) -> Trial:
    """A fault begins a few messages sooner or later."""
    if not trial.faults:
        return _another(trial, setting, random, name)
    place = random.randrange(len(trial.faults))
    fault = trial.faults[place]
    if not fault.at.kind:
        return _with(trial, replace(fault, at=draw_at(random, setting)), place)
    nth = max(1, fault.at.nth + random.choice((-3, -2, -1, 1, 2, 3)))
    return _with(trial, replace(fault, at=replace(fault.at, nth=nth)), place)


def _longer(trial: Trial, setting: Setting, random: Random, name: str) -> Trial:
    """It lasts, or holds back, ten times as long or as short; beyond every bound, at last."""
    if not trial.faults:
        return _another(trial, setting, random, name)
    place = random.randrange(len(trial.faults))
    fault, factor = trial.faults[place], random.choice((0.1, 3, 10))
    for_ns = None if fault.for_ns is None else int(fault.for_ns * factor)
    amount = max(int(fault.amount * factor), 1) if fault.amount else 0
    return _with(trial, replace(fault, for_ns=for_ns, amount=amount), place)


def _other_asks(trial: Trial, setting: Setting, random: Random, name: str) -> Trial:
    """Under the same faults somebody asks for something else, with all that follows."""
    place = random.randrange(len(trial.asks))
    ask = draw_ask(random, f"r{name}", setting.longest_ns * 2)
    return replace(trial, asks=(*trial.asks[:place], ask, *trial.asks[place + 1 :]))
