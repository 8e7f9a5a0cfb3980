"""All targets by name. A module is loaded when its target is asked for, since whoever follows
coverage loads it in another way.
"""

import importlib
from collections.abc import Mapping

from benchmarks.fuzz.target import Target

# Target -> module, and its name there.
PLACES: Mapping[str, tuple[str, str]] = {
    "bodies": ("benchmarks.fuzz.bodies", "TARGET"),
    "headers": ("benchmarks.fuzz.headers", "TARGET"),
    "frames": ("benchmarks.fuzz.frames", "TARGET"),
    "checkpoints": ("benchmarks.fuzz.checkpoints", "TARGET"),
    "scenarios": ("benchmarks.fuzz.files", "SCENARIOS"),
    "traces": ("benchmarks.fuzz.files", "TRACES"),
    "journals": ("benchmarks.fuzz.journals", "TARGET"),
    "flash": ("benchmarks.fuzz.flash", "TARGET"),
}


def load_target(name: str) -> Target:
    """Raises ValueError with the names that there are."""
    if name not in PLACES:
        raise ValueError(f"{name!r} is no target: these are: {', '.join(PLACES)}")
    module, constant = PLACES[name]
    found: Target = getattr(importlib.import_module(module), constant)
    return found
