"""Our packages on machines that have none, by Ray's runtime environment."""

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cluster.own_packages import ROOT
from cluster.worlds.machines.probe import PACKAGES

# Ray leaves out what a .gitignore names, and the native library is named there.
ENVIRONMENT = {"RAY_RUNTIME_ENV_IGNORE_GITIGNORE": "1"}


@contextmanager
def shipped(ship: bool) -> Iterator[Mapping[str, Any]]:
    """Ray's runtime environment for all our actors: theirs as it is, or with this Perfuse."""
    if not ship:
        yield {}
        return
    with tempfile.TemporaryDirectory(prefix="perfuse-ship-") as place:
        for name in PACKAGES:
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, Path(place) / name, ignore=ignored)
        yield {"working_dir": place}
