"""Passages a second into a vector store of `perfuse serve --model perfuse-tiny`, as one file and as
1,000, and its health meanwhile: `python -m benchmarks.indexing [--json F]`.

Expected, before any run: embedding a passage of 70 characters takes 57 us of Python, a message and
its log 4.3 KB a passage and 10 us, FAISS a copy of it, and one sync of 5 to 20 ms for 1,024 of
them: 90 us together, 11,000 passages/s, of which the event loop, health checks and the lock that
both share leave 8,000. A file costs two events of the router's journal and a sync of its own on the
memory server: 5 ms each, so 1,000 files take 5 s more, 6,000 passages/s. Nothing looks at what is
there already, so the last passages take as long as the first. The store holds 4.2 KB a passage;
beside it are scikit-learn with 90 MB, one file's passages and a few batches of vectors of 4 MB.
Health waits for the lock of Python, 5 ms a turn, a few turns: 30 ms at the worst. The first run
gave 3,800 passages/s beside other work on both cores, and health of 1.2 s while scikit-learn was
imported: embedding is in numpy since, without it. That the work stays linear was first read from
rates, which other work moved threefold; processor time says it.
"""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median

import httpx
import psutil

from benchmarks.rows import Row, arguments, report
from benchmarks.serve import Server, server
from cluster.reports.footprint import pss_bytes

NUM_PASSAGES, NUM_FILES = 100_000, 1_000
FEW_PASSAGES = NUM_PASSAGES // 4
RATE_BAR, HEALTH_BAR_MS, BESIDE_BAR_MB = 5_000, 100, 300
# Processor time of a passage into the full store, beside that of one into the empty one.
LINEAR_BAR = 1.25
POLL_S, TIMEOUT_S = 0.1, 600.0


@dataclass(slots=True)
class Watched:
    """health_s: of each answer; most_bytes: PSS at any time; before_bytes: at the start"""

    health_s: list[float]
    before_bytes: int
    most_bytes: int


def lines(first: int, count: int) -> str:
    """Passages of 60 to 80 characters, each unlike the others."""
    made: list[str] = []
    for number in range(first, first + count):
        text = f"Card {number}: the {number * 7919 % 997} keepers of Zorvex-{number % 313} weigh "
        made.append((text + f"{number * 104729 % 99991} grams, or so they say.")[:80])
    return "\n".join(made)


@contextmanager
def watched(served: Server) -> Iterator[Watched]:
    """Its health all the while, from a process of its own, and its memory, from a thread."""
    process = psutil.Process(served.pid)
    command = [sys.executable, "-m", "benchmarks._health_child", served.url]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    before, ended = pss_bytes(process), threading.Event()
    found = Watched([], before, before)

    def look() -> None:
        while not ended.wait(POLL_S):
            found.most_bytes = max(found.most_bytes, pss_bytes(process))

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield found
    finally:
        ended.set()
        looking.join()
        said, _ = child.communicate("", timeout=TIMEOUT_S)
    if child.returncode:
        raise RuntimeError("a health check failed")
    found.health_s = [float(word) for word in said.split()]


def upload(client: httpx.Client, texts: Sequence[str]) -> list[str]:
    """Their ids."""
    return [
        str(told(client.post(
            "/v1/files", data={"purpose": "assistants"}, files={"file": ("f.txt", text.encode())}
        ))["id"])
        for text in texts
    ]  # fmt: skip


def told(response: httpx.Response) -> dict[str, object]:
    """Raises RuntimeError with what the server says for an error."""
    if response.is_error:
        raise RuntimeError(f"{response.url}: {response.text[:300]}")
    answer: dict[str, object] = response.json()
    return answer


def index(client: httpx.Client, store: str, file_ids: Sequence[str]) -> float:
    """Seconds until all can be found."""
    began_s = time.monotonic()
    where = f"{store}/file_batches"
    batch = told(client.post(where, json={"file_ids": file_ids}))
    while batch["status"] == "in_progress":
        if time.monotonic() - began_s > TIMEOUT_S:
            raise RuntimeError(f"takes longer than {TIMEOUT_S:g} s: {batch}")
        time.sleep(POLL_S)
        batch = told(client.get(f"{where}/{batch['id']}"))
    if batch["status"] != "completed":
        raise RuntimeError(f"it was not indexed: {batch}")
    return time.monotonic() - began_s


@dataclass(frozen=True, slots=True)
class Found:
    """Of the whole number: passages a second. Of the few into the empty store, and into the full
    one: microseconds of the server's processor time a passage.
    """

    rate: float
    before_us: float
    after_us: float
    store_bytes: int
    watched: Watched


def measured(num_files: int) -> Found:
    """Raises RuntimeError where a passage is missing."""
    each, first = NUM_PASSAGES // num_files, 0
    rates, took_us = [], []
    with server() as served, httpx.Client(base_url=served.url, timeout=TIMEOUT_S) as client:
        where = f"/v1/vector_stores/{told(client.post('/v1/vector_stores', json={}))['id']}"
        process = psutil.Process(served.pid)
        with watched(served) as seen:
            for count in (FEW_PASSAGES, NUM_PASSAGES, FEW_PASSAGES):
                size = min(each, count)
                starts = range(first, first + count, size)
                file_ids = upload(client, [lines(start, size) for start in starts])
                began_s = sum(process.cpu_times()[:2])
                rates.append(count / index(client, where, file_ids))
                took_us.append(1e6 * (sum(process.cpu_times()[:2]) - began_s) / count)
                first += count
        store = told(client.get(where))
    if store["num_passages"] != first:
        raise RuntimeError(f"{first} passages were indexed, and there are {store['num_passages']}")
    return Found(rates[1], took_us[0], took_us[2], int(str(store["usage_bytes"])), seen)


def rows_of(num_files: int) -> list[Row]:
    found = measured(num_files)
    what = "one file" if num_files == 1 else f"{num_files:,} files"
    rate, more = found.rate, found.after_us / found.before_us
    health_ms = [1e3 * one for one in found.watched.health_s]
    beside_mb = (found.watched.most_bytes - found.watched.before_bytes - found.store_bytes) / 1e6
    how = f"measured: {NUM_PASSAGES:,} passages of 60 to 80 characters as {what}, through HTTP"
    return [
        Row(f"{what}: rate", rate, "passages/s", f">= {RATE_BAR:,} passages/s", rate >= RATE_BAR,
            f"{how}, from attaching them until all are completed"),
        Row(f"{what}: processor time into a full store", more, "x an empty one's",
            f"<= {LINEAR_BAR:g}", more <= LINEAR_BAR,
            f"measured: of the server, health checks included, for {FEW_PASSAGES:,} passages "
            f"before the {NUM_PASSAGES:,} and as many after them: {found.before_us:.0f} and "
            f"{found.after_us:.0f} us a passage"),
        Row(f"{what}: /health, the slowest", max(health_ms), "ms", f"< {HEALTH_BAR_MS} ms",
            max(health_ms) < HEALTH_BAR_MS,
            f"measured: of {len(health_ms):,} answers, uploads included; median "
            f"{median(health_ms):.1f} ms"),
        Row(f"{what}: memory beside the store's own", beside_mb, "MB", f"<= {BESIDE_BAR_MB} MB",
            beside_mb <= BESIDE_BAR_MB,
            f"measured: PSS every {POLL_S * 1e3:.0f} ms at the most, less that before and the "
            f"{found.store_bytes / 1e6:,.0f} MB of vectors and texts"),
    ]  # fmt: skip


def main() -> int:
    options = arguments("Passages a second into a vector store.").parse_args()
    rows = [row for num_files in (1, NUM_FILES) for row in rows_of(num_files)]
    return report(rows, options.json, "Indexing")


if __name__ == "__main__":
    sys.exit(main())
