"""Running the fuzzer on targets, in parts: what it came to, and what is kept of it."""

import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from tempfile import TemporaryDirectory

from benchmarks.fuzz.corpus import inputs, write_files
from benchmarks.fuzz.targets import load_target
from benchmarks.rows import Row
from benchmarks.verify import run_command

# Loading what is followed takes so long, a merge of a grown corpus as well.
BESIDE_S = 240
EVIDENCE = "measured: libFuzzer through atheris, coverage of our own code"


@dataclass(frozen=True)
class Came:
    """What a run of one target came to.

    findings   inputs at which it ended, and how: "" where it ended by itself
    grown      inputs that reached something new
    """

    name: str
    num_runs: int
    cpu_s: float
    findings: tuple[bytes, ...]
    told: str
    grown: tuple[bytes, ...]


def fuzz(name: str, seconds: float, extra: Sequence[bytes] = ()) -> Came:
    """One target for so long. `extra`: inputs of earlier parts."""
    before = getrusage(RUSAGE_CHILDREN)
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with TemporaryDirectory(prefix="fuzz-", dir=memory) as given:
        folder = Path(given)
        known = [*inputs(name, load_target(name)), *extra]
        write_files(known, folder / "corpus")
        command = (
            sys.executable, "-m", "benchmarks.fuzz.child", name, given, str(round(seconds)),
        )  # fmt: skip
        # libFuzzer ends its process at once: what that has written goes with this folder.
        environment = os.environ | {"TMPDIR": given}
        ended = run_command(command, folder / "output", seconds + BESIDE_S, environment)
        told = (folder / "output").read_text(encoding="utf-8", errors="replace")
        findings = tuple(path.read_bytes() for path in sorted((folder / "found").glob("*")))
        corpus = (path.read_bytes() for path in (folder / "corpus").iterdir())
        grown = tuple(set(corpus) - {*known})
    after = getrusage(RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    executed = re.findall(r"number_of_executed_units: (\d+)", told)
    is_well = ended.exit_code == 0 and not findings
    return Came(
        name, int(executed[-1]) if executed else 0, cpu_s, findings,
        "" if is_well else _end_of(told, ended.exit_code), grown,
    )  # fmt: skip


def _end_of(told: str, code: int | None) -> str:
    """What a person needs: the traceback's last lines, or how the process ended."""
    lines = told.splitlines()
    marks = [i for i, line in enumerate(lines) if "Uncaught Python exception" in line]
    if marks:
        block = lines[marks[0] : marks[0] + 60]
        ends = next((i for i, line in enumerate(block) if line.startswith("==")), len(block))
        return "\n".join(block[:ends])
    how = "it did not end in time" if code is None else f"exit code {code}"
    return "\n".join([how, *lines[-12:]])


def row(came: Came, about: str) -> Row:
    """One target's."""
    what = f"{came.name}: {about}"
    said = f"{EVIDENCE}; {came.num_runs:,} inputs in {came.cpu_s:.0f} CPU seconds"
    if came.told:
        said += f"; {came.told.strip().splitlines()[-1]:.200}"
    return Row(what, len(came.findings), "findings", "0", not came.told, said)
