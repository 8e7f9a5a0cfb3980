"""Memory and start of the default local cluster: `python -m benchmarks.footprint [--json FILE]`.

`perfuse serve demo` in a fresh process, timed from its start until `/health` says ready. Then a few
questions, and the PSS of every process that belongs to it: driver, nodes, and Ray's own.
"""

import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import httpx
from rich.table import Table

from benchmarks.process_memory import MARK, ProcessMemory, memory_of, processes_of
from benchmarks.rows import Row, arguments, report, wide_console
from configs.perfuse_tiny import load_questions

MEMORY_BAR_BYTES = 3e9
START_BAR_S = 30
START_TIMEOUT_S = 180
STOP_TIMEOUT_S = 60
NUM_QUESTIONS = 16
LOOK_EVERY_S = 0.05
RAY_PARTS = (
    "gcs_server",
    "raylet",
    "DashboardAgent",
    "RuntimeEnvAgent",
    "log_monitor",
    "monitor",
    "dashboard.py",
)


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


@contextmanager
def serving(url: str, mark: str) -> Iterator[tuple[int, float]]:
    """The default cluster behind `url`; yields the command's process id and seconds until ready.

    Raises RuntimeError with the command's words if it ends, or is not ready in time.
    """
    port = url.rpartition(":")[2]
    command = (sys.executable, "-m", "cluster.cli.main", "serve", "demo", "--port", port)
    with tempfile.TemporaryFile("w+") as words:
        started_s = time.monotonic()
        process = subprocess.Popen(
            command, stdout=words, stderr=subprocess.STDOUT, env={**os.environ, MARK: mark}
        )
        try:
            while not is_ready(url):
                elapsed_s = time.monotonic() - started_s
                if process.poll() is not None or elapsed_s > START_TIMEOUT_S:
                    words.seek(0)
                    raise RuntimeError(f"not ready after {elapsed_s:.0f} s:\n{words.read()}")
                time.sleep(LOOK_EVERY_S)
            yield process.pid, time.monotonic() - started_s
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                for left in list(processes_of(process.pid, mark)):
                    left.kill()
                process.wait()


def is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=5).is_success
    except httpx.TransportError:
        return False


def ask(url: str, question: str) -> None:
    """One answer, with retrieval. Raises httpx.HTTPStatusError on an error."""
    body = {
        "model": "perfuse-tiny",
        "messages": [{"role": "user", "content": question}],
        "max_tokens": 16,
        "retrieval": {"store": "cards", "top_k": 3},
    }
    httpx.post(f"{url}/v1/chat/completions", json=body, timeout=120).raise_for_status()


def kind(process: ProcessMemory) -> str:
    """What it is for: a node of the cluster, Ray's own process, or the driver."""
    if process.command.startswith("ray::NodeHost"):
        return "nodes (Ray actors)"
    if "cluster.cli.main" in process.command:
        return "driver"
    name = next((part for part in RAY_PARTS if part in process.command), process.command[:40])
    return f"Ray: {name}"


def by_kind(processes: Sequence[ProcessMemory]) -> Table:
    counts: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for process in processes:
        counts[kind(process)] += 1
        total[kind(process)] += process.pss_bytes
    table = Table("processes", "count", "PSS, MB")
    for name, num_bytes in total.most_common():
        table.add_row(name, str(counts[name]), f"{num_bytes / 1e6:.0f}")
    return table


def main() -> int:
    options = arguments("Memory and start time of the default local cluster.").parse_args()
    console = wide_console()
    url, mark = f"http://127.0.0.1:{free_port()}", secrets.token_hex(8)
    with console.status("starting the default cluster"), serving(url, mark) as (pid, ready_s):
        before = sum(process.pss_bytes for process in memory_of(pid, mark))
        for question in load_questions()[:NUM_QUESTIONS]:
            ask(url, question.question)
        processes = memory_of(pid, mark)
    left = [process.cmdline() for process in processes_of(pid, mark)]
    console.print(by_kind(processes))
    used = sum(process.pss_bytes for process in processes)
    most = max(before, used)
    rows = [
        Row(
            "memory of the default local cluster",
            most / 1e9,
            "GB",
            f"<= {MEMORY_BAR_BYTES / 1e9:g} GB",
            most <= MEMORY_BAR_BYTES,
            f"measured: PSS of {len(processes)} processes after {NUM_QUESTIONS} questions "
            f"({before / 1e9:.2f} GB before)",
        ),
        Row(
            "start of the default local cluster",
            ready_s,
            "s",
            f"<= {START_BAR_S} s",
            ready_s <= START_BAR_S,
            "measured: from the command's start until /health says ready",
        ),
        Row(
            "processes left behind",
            len(left),
            "",
            "0",
            not left,
            "measured: after SIGINT" + "".join(f"; {' '.join(words)}" for words in left),
        ),
    ]
    return report(rows, options.json, "Footprint")


if __name__ == "__main__":
    sys.exit(main())
