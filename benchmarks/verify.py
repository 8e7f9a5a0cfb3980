"""Every bar in full, each in its own process, and one table at the end: `make verify`.

A bar is a command that takes `--json FILE`, writes its rows there and exits 0 if all of them hold.
One that crashes, hangs or writes no rows is itself a row that does not hold, so nothing can go
missing silently. One that this machine has not the means for (it exits with 69) is a row that says
what is missing.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from benchmarks.rows import UNAVAILABLE, Row, arguments, read_rows, report, wide_console

# A bar that takes longer than this hangs: the longest takes ten minutes on two cores.
TIMEOUT_S = 1800
# How much of a failed command's output is shown.
TAIL_LINES = 30


@dataclass(frozen=True)
class Bar:
    """A command: `python -m module args --json FILE`."""

    module: str
    args: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.module.rpartition(".")[2]


BARS = (
    Bar("benchmarks.logits"),
    Bar("benchmarks.exact"),
    Bar("benchmarks.hashseed"),
    Bar("benchmarks.virtual"),
    Bar("benchmarks.events"),
    Bar("benchmarks.demo"),
    Bar("benchmarks.recall"),
    Bar("benchmarks.answers"),
    Bar("benchmarks.precision"),
    Bar("benchmarks.cancel"),
    Bar("benchmarks.footprint"),
    Bar("benchmarks.throughput"),
    Bar("benchmarks.local"),
    Bar("benchmarks.laws"),
    Bar("benchmarks.curve"),
    Bar("benchmarks.serve"),
    Bar("benchmarks.worlds"),
    Bar("benchmarks.transport"),
    Bar("benchmarks.kernels"),
    Bar("benchmarks.peers", ("--only", "ours", "vllm", "llama")),
    Bar("benchmarks.triton"),
    Bar("benchmarks.clients", ("--without-parts",)),
    Bar("benchmarks.indexing"),
    Bar("benchmarks.structured"),
    Bar("benchmarks.templates"),
    Bar("benchmarks.configs"),
    Bar("benchmarks.traces"),
    Bar("benchmarks.wires"),
    Bar("benchmarks.memory"),
    Bar("benchmarks.network"),
    Bar("benchmarks.chaos"),
    Bar("benchmarks.network.mooncake"),
    Bar("benchmarks.ray"),
)


@dataclass(frozen=True)
class Finished:
    """How a command ended: its exit code (None: stopped at the time limit), its output's end."""

    exit_code: int | None
    tail: str
    elapsed_s: float


def run_command(
    command: Sequence[str],
    output: Path,
    timeout_s: float,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Finished:
    """Run a command in a session of its own, so that whatever it started ends with it; in this
    environment and folder, or ours."""
    started = time.monotonic()
    with output.open("wb") as sink:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=environment,
            cwd=folder,
        )
        exit_code: int | None
        try:
            exit_code = process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            exit_code = None
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    lines = output.read_text(encoding="utf-8", errors="replace").splitlines()
    return Finished(exit_code, "\n".join(lines[-TAIL_LINES:]), time.monotonic() - started)


def left_out(bar: Bar, finished: Finished) -> Row:
    """The row of a bar that cannot be measured on this machine."""
    last = finished.tail.splitlines()[-1] if finished.tail else "it does not say why"
    return Row(f"{bar.name}: the command", "left out", "", "none", True, f"measured: {last}")


def failure(bar: Bar, finished: Finished, rows: Sequence[Row], problem: str) -> Row | None:
    """The row that says why this bar cannot be believed, or None where its own rows say it all."""
    if finished.exit_code is None:
        value = f"stopped after {finished.elapsed_s:.0f} s"
    elif problem:
        value = f"{problem} (exit code {finished.exit_code})"
    elif finished.exit_code != 0 and all(row.holds for row in rows):
        value = f"exit code {finished.exit_code}"
    else:
        return None
    command = " ".join(("python -m", bar.module, *bar.args))
    return Row(
        f"{bar.name}: the command", value, "", "ends by itself", False, f"measured: {command}"
    )


def run_bar(bar: Bar, folder: Path, timeout_s: float) -> tuple[list[Row], Finished]:
    """Run one bar; its rows, with one that does not hold added where the command failed. Where the
    machine has not the means, one row says so."""
    rows_path = folder / f"{bar.name}.json"
    command = (sys.executable, "-m", bar.module, *bar.args, "--json", str(rows_path))
    finished = run_command(command, folder / f"{bar.name}.log", timeout_s)
    if finished.exit_code == UNAVAILABLE and not rows_path.exists():
        return [left_out(bar, finished)], finished
    rows: list[Row] = []
    problem = ""
    try:
        rows = read_rows(rows_path)
        problem = "" if rows else "no rows"
    except FileNotFoundError:
        problem = "no rows"
    except ValueError as error:
        problem = str(error)
    failed = failure(bar, finished, rows, problem)
    return [*rows, *([failed] if failed else [])], finished


def run_bars(bars: Sequence[Bar], timeout_s: float, console: Console) -> list[Row]:
    """All bars, one after another: they measure time and memory, so none may disturb another."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="perfuse-verify-") as folder:
        for number, bar in enumerate(bars, start=1):
            place = f"{number}/{len(bars)} {bar.name}"
            with console.status(f"{place} ..."):
                new_rows, finished = run_bar(bar, Path(folder), timeout_s)
            missed = sum(not row.holds for row in new_rows)
            verdict = "all hold" if not missed else f"{missed} of {len(new_rows)} do not hold"
            if finished.exit_code == UNAVAILABLE:
                verdict = "left out"
            console.print(f"{place}: {verdict}, {finished.elapsed_s:.0f} s", highlight=False)
            if any(row.name == f"{bar.name}: the command" for row in new_rows):
                console.print(finished.tail, style="dim", markup=False, highlight=False)
            rows.extend(new_rows)
    return rows


def chosen(names: Sequence[str]) -> tuple[Bar, ...]:
    """The bars with these names, or all; raises ValueError on a name that is none."""
    known = [bar.name for bar in BARS]
    for name in names:
        if name not in known:
            raise ValueError(f"there is no bar {name!r}: choose from {', '.join(known)}")
    return tuple(bar for bar in BARS if not names or bar.name in names)


def main() -> int:
    parser = arguments("Run every bar in full and show one table.")
    parser.add_argument("--only", nargs="+", metavar="BAR", default=[], help="run only these")
    parser.add_argument(
        "--timeout-s", type=float, default=TIMEOUT_S, help="stop a bar that takes longer than this"
    )
    options = parser.parse_args()
    try:
        bars = chosen(options.only)
    except ValueError as error:
        parser.error(str(error))
    console = wide_console()
    rows = run_bars(bars, options.timeout_s, console)
    return report(rows, options.json, title="All bars", console=console)


if __name__ == "__main__":
    sys.exit(main())
