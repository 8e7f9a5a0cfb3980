"""One run of the demo in a child, which knows no generation of the code."""

import importlib
from typing import Any

from benchmarks.beside.stopwatch import Stopwatch, pin


def measure(adapter: str, profile: bool = False) -> dict[str, Any]:
    """Seconds of the run proper on one core, and the tokens of each answer."""
    pin()
    stopwatch = Stopwatch(profile=profile)
    tokens = importlib.import_module(f"benchmarks.demo.{adapter}").run(stopwatch)
    return {**stopwatch.result(), "tokens": tokens}
