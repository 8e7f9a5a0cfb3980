"""Ours are imported, whatever else bears their names.

`workers`, `configs` and `kernels` are names that users give their own folders, too, and Python
looks into the working directory first (`python -m`), or wherever PYTHONPATH leads. What lies beside
this package is asked before either.
"""

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parent.parent
NAMES = ("benchmarks", "cluster", "configs", "kernels", "protos", "workers")


class OwnPackages:
    """Finds these and nothing else; of what an installation leaves out others are asked."""

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, _: ModuleType | None = None
    ) -> ModuleSpec | None:
        return PathFinder.find_spec(name, [str(ROOT)]) if path is None and name in NAMES else None


def claim() -> None:
    """From here on. Raises ImportError where another package of the same name was imported first:
    both cannot be in one process.
    """
    for name in NAMES:
        found = _place(sys.modules.get(name))
        if found is not None and found != ROOT / name and (ROOT / name).is_dir():
            raise ImportError(
                f"{found} was imported as `{name}`, which Perfuse's own {ROOT / name} must be: "
                "import cluster before it, or install Perfuse into an environment of its own"
            )
    if OwnPackages not in sys.meta_path:
        sys.meta_path.insert(0, OwnPackages)


def _place(module: ModuleType | None) -> Path | None:
    """The folder of a package, the file of a module; None of what says neither."""
    if module is None:
        return None
    folders = list(getattr(module, "__path__", ()))
    place = folders[0] if folders else getattr(module, "__file__", None)
    return Path(place).resolve() if place else None
