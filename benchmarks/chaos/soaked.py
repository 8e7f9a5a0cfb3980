"""Results of a soak, added up: each unit's numbers are summed, of `most_...` the largest stays, and
what was found is a list. Written after every unit, so a soak that is ended goes on where it was.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

Numbers = Mapping[str, float]
Found = Mapping[str, list[str]]
FOUND_MAX = 50


@dataclass(frozen=True)
class Unit:
    """What one came to."""

    numbers: Numbers
    found: Found = field(default_factory=dict)


@dataclass
class Totals:
    """Of one part. `units`: how many are done."""

    units: int = 0
    numbers: dict[str, float] = field(default_factory=dict)
    found: dict[str, list[str]] = field(default_factory=dict)

    def add(self, unit: Unit) -> None:
        self.units += 1
        for name, value in unit.numbers.items():
            before = self.numbers.get(name, 0.0)
            self.numbers[name] = max(before, value) if name.startswith("most_") else before + value
        for name, what in unit.found.items():
            known = self.found.setdefault(name, [])
            known += what[: FOUND_MAX - len(known)]
            counted = f"num_{name}"
            self.numbers[counted] = self.numbers.get(counted, 0.0) + len(what)


def read(path: Path) -> dict[str, Totals]:
    """Part -> totals; none where nothing was done yet. Raises ValueError for another file."""
    if not path.exists():
        return {}
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        return {
            name: Totals(part["units"], part["numbers"], part["found"])
            for name, part in said["parts"].items()
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: holds no results of a soak: {error!r}") from error


def write(path: Path, parts: Mapping[str, Totals]) -> None:
    """A reader sees the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    said = {
        name: {"units": one.units, "numbers": one.numbers, "found": one.found}
        for name, one in parts.items()
    }
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    partial.write_text(json.dumps({"parts": said}, indent=2) + "\n", encoding="utf-8")
    partial.replace(path)
