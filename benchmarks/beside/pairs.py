"""Interleaved runs of both trees: what else the machine does meanwhile slows both alike."""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.beside.tree import COMMIT, ROOT
from benchmarks.rows import Row

TIMEOUT_S = 600

Result = Mapping[str, Any]


def run_child(tree: Path, module: str, arguments: Mapping[str, object]) -> Result:
    """What MODULE's `measure` returned; see `benchmarks.beside.child`.

    Raises RuntimeError with the child's words if it fails.
    """
    command = (sys.executable, "-m", "benchmarks.beside.child", str(tree), module)
    done = subprocess.run(
        (*command, json.dumps(arguments)),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr}")
    result: Result = json.loads(done.stdout.splitlines()[-1])
    return result


def in_turn(once: Callable[[str], Result], sides: Sequence[str], rounds: int) -> list[list[Result]]:
    """A B A B ...: for each side, what its rounds gave."""
    results: list[list[Result]] = [[] for _ in sides]
    for _ in range(rounds):
        for side, kept in zip(sides, results, strict=True):
            kept.append(once(side))
    return results


@dataclass(frozen=True, slots=True)
class Pairs:
    """The same figure of both trees, round by round; more is better."""

    this: Sequence[float]
    earlier: Sequence[float]

    @property
    def ratio(self) -> float:
        """How many times the earlier commit: of the medians."""
        return median(self.this) / median(self.earlier)

    def spread(self) -> str:
        ratios = [a / b for a, b in zip(self.this, self.earlier, strict=True)]
        return f"{len(ratios)} pairs, {min(ratios):.2f} .. {max(ratios):.2f}"


def shown_row(name: str, values: Sequence[float], unit: str, how: str) -> Row:
    """A figure that has no bar of its own."""
    every = ", ".join(f"{value:,.4g}" if value < 1000 else f"{value:,.0f}" for value in values)
    evidence = f"measured: median of {every}; {how}"
    return Row(name, median(values), unit, "none: its ratio has", True, evidence)


def missing_row(name: str, why: str) -> Row:
    """Stands for the comparison where the earlier commit cannot be had."""
    return Row(f"{name}, beside {COMMIT}", "left out", "", "none", True, f"measured: {why}")
