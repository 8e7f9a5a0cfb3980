"""Trials made of trials: a schedule that reached something new is changed a little.

A mutant is named by its seed and its mutations, "17.3.5": anybody can make it again from its name
alone, whatever search it was found in. "17.3x40" strikes cell 40 of CELLS: a kind of fault at a
life-cycle point, where a search has not been yet.
"""

import re
from dataclasses import replace
from random import Random

from cluster.chaos.asking import draw_ask
from cluster.chaos.drawing import Drawing, busy_meanwhile, patient
from cluster.chaos.kinds import KINDS, Deed
from cluster.chaos.pairs import draw_pair
from cluster.chaos.points import POINTS
from cluster.chaos.setting import Setting
from cluster.chaos.striking import draw_fault, draw_mild, draw_rolling, fault_of
from cluster.chaos.trial import ANYONE, ENDS, ROLLING, At, Fault, Trial

FAULTS_MAX = 10
MUTATIONS_MAX = 12
CELLS = tuple((what, point) for what in KINDS for point in POINTS)
_PART = re.compile(r"[0-9]{1,9}(x(?P<cell>[0-9]{1,4}))?")


def trial_of(name: str, drawing: Drawing) -> Trial:
    """The trial of a name. Raises ValueError saying what a name is."""
    parts = name.split(".")
    cells = [cell_of(part) for part in parts]
    if None in cells or cells[0] != "":
        raise ValueError(
            f"{name!r} names no trial: it must be a seed, as 17, or a seed and mutations, as 17.3.5"
            f" or 17.3x40, of cell 0 to {len(CELLS) - 1}"
        )
    if len(parts) > MUTATIONS_MAX + 1:
        raise ValueError(f"{name}: has {len(parts) - 1} mutations, at most {MUTATIONS_MAX}")
    seed = int(parts[0])
    trial, setting = drawing.trial(seed), drawing.setting(seed)
    for end in range(2, len(parts) + 1):
        so_far = ".".join(parts[:end])
        random, cell = Random(f"chaos mutant {so_far}"), cells[end - 1]
        if cell:
            trial = struck(trial, setting, random, so_far, CELLS[int(cell)])
        else:
            trial = mutated(trial, setting, random, so_far)
    return trial


def cell_of(part: str) -> str | None:
    """The number of a cell that a part of a name says, or ""; None where it is no part."""
    found = _PART.fullmatch(part)
    if found is None:
        return None
    cell = found["cell"] or ""
    return None if cell and int(cell) >= len(CELLS) else cell


def struck(
    trial: Trial, setting: Setting, random: Random, name: str, cell: tuple[str, str]
) -> Trial:
    """With one more fault, of this kind, at this point; another where that cannot be here."""
    what, point = cell
    if point not in setting.sent or not setting.has(what):
        return mutated(trial, setting, random, name)
    if trial.rolls or what == ROLLING:
        rolling = draw_rolling(random, f"f{name}", setting, point)
        return busy_meanwhile(patient(replace(trial, name=name, faults=(rolling,))))
    # What lies in a pool is damaged when something lies there.
    at = setting.message(random, point, late=what == "page_error")
    fault = fault_of(random, f"f{name}", what, setting, at)
    kind = KINDS[what]
    if isinstance(kind, Deed):
        fault = replace(fault, nodes=ENDS) if kind.num_nodes == 2 else fault
    elif kind.is_total:
        fault = replace(fault, nodes=ENDS)
    else:
        fault = replace(fault, nodes=(ANYONE, ANYONE), kind=at.kind, chance=1.0)
    return replace(_with(trial, fault), name=name)


def mutated(trial: Trial, setting: Setting, random: Random, name: str) -> Trial:
    """One or two changes. Nobody dies while all restart in turn: only single messages are lost."""
    if trial.rolls:
        change = random.choice((_other_asks, _another_mild))
        return replace(change(trial, setting, random, name), name=name)
    for number in range(random.choice((1, 1, 2))):
        change = random.choice(
            (_again_elsewhere, _another, _another_pair, _pair, _moved, _longer, _other_asks)
        )
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


def _another_mild(trial: Trial, setting: Setting, random: Random, name: str) -> Trial:
    return _with(trial, draw_mild(random, name, setting))


def _another_pair(trial: Trial, setting: Setting, random: Random, name: str) -> Trial:
    first, second = draw_pair(random, name, setting)
    return _with(_with(trial, first), second)


def _when(fault: Fault, setting: Setting, random: Random) -> At:
    """Another moment: with a message, where that says whom it strikes."""
    return setting.message(random) if fault.is_aimed else setting.moment(random)


def _again_elsewhere(trial: Trial, setting: Setting, random: Random, name: str) -> Trial:
    """A fault that is there already strikes once more, at another moment."""
    if not trial.faults:
        return _another(trial, setting, random, name)
    fault = random.choice(trial.faults)
    return _with(trial, replace(fault, name=name, at=_when(fault, setting, random)))


def _pair(trial: Trial, setting: Setting, random: Random, name: str) -> Trial:
    """A new fault at the very moment of an old one, or while it lasts."""
    if not trial.faults:
        return _another(trial, setting, random, name)
    at = random.choice(trial.faults).at
    return _with(trial, draw_fault(random, name, setting, at))


def _moved(trial: Trial, setting: Setting, random: Random, name: str) -> Trial:
    """A fault begins a few messages sooner or later."""
    if not trial.faults:
        return _another(trial, setting, random, name)
    place = random.randrange(len(trial.faults))
    fault = trial.faults[place]
    if not fault.at.kind:
        return _with(trial, replace(fault, at=_when(fault, setting, random)), place)
    nth = max(1, fault.at.nth + random.choice((-3, -2, -1, 1, 2, 3)))
    return _with(trial, replace(fault, at=replace(fault.at, nth=nth)), place)


def _longer(trial: Trial, setting: Setting, random: Random, name: str) -> Trial:
    """It lasts, or holds back, ten times as long or as short; beyond every bound, at last."""
    if not trial.faults:
        return _another(trial, setting, random, name)
    place = random.randrange(len(trial.faults))
    fault, factor = trial.faults[place], random.choice((0.1, 3, 10))
    for_ns = None if fault.for_ns is None else int(fault.for_ns * factor)
    amount = max(int(fault.amount * factor), KINDS[fault.what].least) if fault.amount else 0
    return _with(trial, replace(fault, for_ns=for_ns, amount=amount), place)


def _other_asks(trial: Trial, setting: Setting, random: Random, name: str) -> Trial:
    """Under the same faults somebody asks for something else, with all that follows."""
    place = random.randrange(len(trial.asks))
    ask = draw_ask(random, f"r{name}", setting.prompts, setting.longest_ns * 2)
    return replace(trial, asks=(*trial.asks[:place], ask, *trial.asks[place + 1 :]))
