"""Mutants that were read and change nothing that can be noticed, each with its reason."""

from dataclasses import dataclass
from pathlib import Path

import yaml

from benchmarks.mutants.sites import Change, Mutant

FILE = Path(__file__).with_name("equivalent.yaml")


@dataclass(frozen=True, slots=True)
class Equivalent:
    """`function` is dotted; `was` and `becomes` are the lines that differ, without indentation."""

    path: str
    function: str
    was: str
    becomes: str
    why: str


class Equivalents:
    def __init__(self, file: Path = FILE) -> None:
        """Raises TypeError where an entry has other keys than an Equivalent has fields."""
        entries = yaml.safe_load(file.read_text(encoding="utf-8")) or []
        self.all = [Equivalent(**entry) for entry in entries]
        self._keys = {(one.path, one.function, one.was, one.becomes) for one in self.all}

    def explain(self, mutant: Mutant, change: Change) -> bool:
        return (mutant.path, *change.key) in self._keys
