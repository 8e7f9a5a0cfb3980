"""An environment of its own for something that is run beside us: made once, its versions pinned."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

LOG_LINES = 15
# Written last into an environment that is whole; says what was asked for.
STAMP = ".installed.json"


class SetupFailed(RuntimeError):
    """A step did not come to its end; says which, why, and what may help."""


class Steps:
    """Commands of one set-up, one after another, their output in a log."""

    def __init__(self, python: Path, log: Path, pip_arguments: Sequence[str]) -> None:
        self.python = python
        self._pip_arguments = pip_arguments
        self._log = log
        self._begun = False

    def run(
        self, title: str, command: Sequence[str | Path], advice: str = "", **variables: str
    ) -> str:
        """Its output. Raises SetupFailed where it fails."""
        print(f"  {title} ...", end="", flush=True)
        start = time.monotonic()
        # Neither our packages nor our environment are theirs.
        ours = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
        done = subprocess.run(
            [*command],
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=ours | variables,
        )
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("a" if self._begun else "w", encoding="utf-8") as file:
            file.write(f"== {title}\n{done.stdout}\n")
        self._begun = True
        print(f" {time.monotonic() - start:.0f} s", flush=True)
        if done.returncode:
            end = "\n".join(done.stdout.splitlines()[-LOG_LINES:])
            raise SetupFailed(f"{title} failed; {self._log} ends with:\n{end}\n{advice}".rstrip())
        return done.stdout

    def pip(self, title: str, *packages: str, advice: str = "", **variables: str) -> None:
        command = [str(self.python), "-m", "pip", "install", "--progress-bar", "off"]
        self.run(title, [*command, *self._pip_arguments, *packages], advice, **variables)


def installed(folder: Path, wanted: Sequence[str]) -> bool:
    """Whether the environment is whole and of these versions."""
    stamp = folder / STAMP
    return stamp.is_file() and json.loads(stamp.read_text(encoding="utf-8")) == list(wanted)


def make_environment(
    folder: Path,
    wanted: Sequence[str],
    steps: Steps,
    install: Callable[[Steps], None],
    interpreter: str | Path = sys.executable,
) -> None:
    """The environment, unless it is there and of these versions. Raises SetupFailed."""
    if installed(folder, wanted):
        print(f"{folder.name}: there already", flush=True)
        return
    print(f"{folder.name}: into {folder}", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    steps.run("environment", [interpreter, "-m", "venv", folder])
    install(steps)
    (folder / STAMP).write_text(json.dumps(list(wanted)), encoding="utf-8")
