"""One measurement in a process of its own.

    python -m benchmarks.beside.child TREE MODULE ARGUMENTS

This file and MODULE are this tree's in any case; the layers that MODULE imports (`workers`,
`cluster`, `configs`, `kernels`) are TREE's. So one driver measures both, and only its adapters
know what differs. MODULE has a function `measure`, which takes ARGUMENTS (a JSON object) by name;
what it returns goes to stdout as the last line, as JSON.
"""

import importlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

LAYER = "workers"  # any of them tells whose tree is measured


def measure_in(tree: Path, module: str, arguments: Mapping[str, Any]) -> Any:
    assert LAYER not in sys.modules, f"{LAYER} is imported before its tree is chosen"
    sys.path.insert(0, str(tree))
    result = importlib.import_module(module).measure(**arguments)
    found = Path(importlib.import_module(LAYER).__file__ or "").resolve()
    assert found.is_relative_to(tree.resolve()), f"{LAYER} is {found}, not of {tree}"
    return result


def main() -> None:
    tree, module, arguments = sys.argv[1:]
    # Benchmarks are this tree's, from the path that `-m` found them on.
    print(json.dumps(measure_in(Path(tree), module, json.loads(arguments))))


if __name__ == "__main__":
    main()
