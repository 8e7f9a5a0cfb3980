"""A whole recorded trace through the workload generator: `python -m benchmarks.traces [--json F]`.

Mooncake's conversation trace (12,031 requests, 144.8 million prompt tokens, 4.1 million answered),
or where it is not at hand one of the same size; and one of as many requests as Mooncake's largest,
of tools, which is made here: 23,608 with 182 tokens answered on average.

Expected: an interpreter with numpy, pydantic and tokenizers takes 80 to 100 MB; the index 288,500
ids of 8 B and 12,031 rows of 60 B, 3 MB; all answers 12 B a token and 1.5 KB each, 70 MB; some 45
prompts inside at once, of 12,035 tokens of 36 B, 20 MB; the summary's gaps between tokens 33 MB for
a moment. Together 220 MB at the most; of the larger one 250. The first request leaves after 0.7 s
of imports and 0.6 s of reading: 1.5 s. Written before any run but for two figures that the first
one changed: it took 225 MB, and 394 MB for the larger trace. The gaps were Python floats, and are 8
B each since; the larger trace answered some 335 tokens a request, and answers 182 since.
"""

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from math import log
from pathlib import Path

import psutil

from benchmarks.rows import Row, arguments, report
from cluster.reports.footprint import pss_bytes

PSS_BAR_MB = 300
FIRST_BAR_S = 2.0
TIMEOUT_S = 900
LOOK_EVERY_S = 0.05
ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("PERFUSE_SHARED_DATA", ROOT.parent / "shared" / "data"))
PUBLIC = DATA / "mooncake_conversation_trace.jsonl"
NUM_PUBLIC, NUM_LARGEST = 12_031, 23_608
SPAN_MS = 3_536_999


@dataclass(frozen=True, slots=True)
class Measured:
    """told: requests, prompt tokens, answered tokens, most inside at once"""

    first_s: float
    whole_s: float
    most_bytes: int
    told: tuple[int, ...]


def write_trace(path: Path, num_requests: int, mean_output: float) -> None:
    """As Mooncake's: log-normal lengths of its mean, a third of the blocks shared with others."""
    rng = random.Random(11)
    times = sorted(rng.randrange(SPAN_MS) for _ in range(num_requests))
    with path.open("w") as file:
        for number, at_ms in enumerate(times):
            num_input = min(126_000, max(1, int(rng.lognormvariate(8.9, 1.0))))
            blocks, first = -(-num_input // 512), number * 256
            shared = [block + 256 * rng.randrange(number + 1) for block in range(blocks // 3)]
            row = {
                "timestamp": at_ms,
                "input_length": num_input,
                "output_length": min(
                    2_000, max(1, int(rng.lognormvariate(log(mean_output) - 0.32, 0.8)))
                ),
                "hash_ids": [*shared, *range(first + len(shared), first + blocks)],
            }
            file.write(json.dumps(row) + "\n")


def measured(path: Path) -> Measured:
    """Raises RuntimeError where the generator fails."""
    began_s = time.monotonic()
    with tempfile.TemporaryFile() as out:
        command = [sys.executable, "-m", "benchmarks._trace_child", str(path)]
        child = subprocess.Popen(command, stdout=out, cwd=ROOT)
        process, most, first_s = psutil.Process(child.pid), 0, 0.0
        try:
            while child.poll() is None:
                if not first_s and os.fstat(out.fileno()).st_size:
                    first_s = time.monotonic() - began_s
                with suppress(psutil.Error):  # it may just have ended
                    most = max(most, pss_bytes(process))
                if time.monotonic() - began_s > TIMEOUT_S:
                    raise RuntimeError(f"{path}: takes longer than {TIMEOUT_S} s")
                time.sleep(LOOK_EVERY_S)
        finally:
            child.kill()
            child.wait()
        out.seek(0)
        said = out.read().decode()
    if child.returncode:
        raise RuntimeError(f"{path}: the generator ended with {child.returncode}")
    told = tuple(int(word) for word in said.splitlines()[-1].split())
    return Measured(first_s, time.monotonic() - began_s, most, told)


def rows_of(what: str, path: Path) -> list[Row]:
    found = measured(path)
    most_mb = found.most_bytes / 1e6
    requests, prompts, answered, inside = found.told
    how = (
        f"measured: {requests:,} requests of {prompts:,} prompt tokens, {answered:,} answered, at "
        f"most {inside} inside, {found.whole_s:.0f} s"
    )
    looked = f"{how}; PSS of the process, summary included, every {LOOK_EVERY_S * 1e3:.0f} ms"
    return [
        Row(f"{what}: memory", most_mb, "MB", f"<= {PSS_BAR_MB} MB at any time",
            most_mb <= PSS_BAR_MB, looked),
        Row(f"{what}: first request", found.first_s, "s", f"<= {FIRST_BAR_S:g} s",
            found.first_s <= FIRST_BAR_S, f"{how}; from the start of the process"),
    ]  # fmt: skip


def main() -> int:
    options = arguments("A whole trace through the workload generator.").parse_args()
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "trace.jsonl"
        if PUBLIC.exists():
            rows = rows_of("Mooncake's conversation trace", PUBLIC)
        else:
            write_trace(made, NUM_PUBLIC, 343)
            rows = rows_of("a trace of the size of Mooncake's", made)
        write_trace(made, NUM_LARGEST, 182)
        rows += rows_of(f"a trace of {NUM_LARGEST:,} requests", made)
    return report(rows, options.json, "Traces")


if __name__ == "__main__":
    sys.exit(main())
