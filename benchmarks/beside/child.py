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

LAYERS = ("workers", "cluster", "configs", "kernels", "protos")


def within(file: Path, folder: Path) -> bool:
    return file.resolve().is_relative_to(folder.resolve())


def measure_in(tree: Path, module: str, arguments: Mapping[str, Any]) -> Any:
    """Raises ImportError if anything of a layer came from elsewhere: nobody would notice."""
    early = [layer for layer in LAYERS if layer in sys.modules]
    assert not early, f"{early} are imported before their tree is chosen"
    sys.path.insert(0, str(tree))
    result = importlib.import_module(module).measure(**arguments)
    for name, loaded in sorted(sys.modules.items()):
        file = getattr(loaded, "__file__", None)
        if name.partition(".")[0] in LAYERS and file and not within(Path(file), tree):
            raise ImportError(f"{name} is {file}, not of {tree}")
    return result


def main() -> None:
    tree, module, arguments = sys.argv[1:]
    # Benchmarks are this tree's, from the path that `-m` found them on.
    print(json.dumps(measure_in(Path(tree), module, json.loads(arguments))))


if __name__ == "__main__":
    main()
