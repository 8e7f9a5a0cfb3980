"""A link's time by size beside a measured one: `python -m benchmarks.curve [--json FILE]`.

The data: means of one RDMA read or write at a time between two H100 hosts, 15 sizes from 4 KiB to
64 MiB each way (SemiAnalysisAI/InferenceX, Mooncake's transfer engine). Beside each, the same two
nodes stand in virtual time with the link `ib-mooncake`, and one call carries the bytes there (a
write, and its empty answer) or brings them (a read); what the caller's clock says is compared.

Expected. A line (one latency, one bandwidth) cannot follow: from 128 to 512 KiB bytes come at 32
GB/s, to 1 MiB at 43, to 2 MiB at 31, and from there on at 43 again, so between 1 and 2 MiB some 10
us are paid once and never again. Least squares of relative errors leave 4.1 % at the median and
11.5 % at most, the smallest largest error of any line is 9.8 %. What the transfer engine's code
does says why: it cuts a transfer into slices of 64 KiB, each a work request of its own, but GPU
memory into 32 at most; so up to 2 MiB each slice adds its cost, and from there on no more is added.
With latency, bandwidth and a slice's cost fitted: 1.9 % at the median, 5.4 % at most, at 1 MiB. The
emulated time should be that formula, rounded up to a nanosecond each way: nobody else is on the
lanes.

Tried for the step and left, each as good as its own parameters could be made (median, largest):
    a cost per segment of 1 MiB, 2 MiB or 64 KiB without a most (registration in pieces, page
      walks)                                                              4.1 %, 10.2 %: cost 0
    waiting for each window of outstanding reads                          4.1 %, 10.2 %
    dearer bytes beyond what a translation cache holds                    4.7 %, 10.8 %
    one more cost above a threshold (rendezvous), same bandwidth          5.0 %,  7.3 %
    the same with a bandwidth each, below and above                       1.2 %,  5.2 %
    a slower copy of the first 2 MiB (pipelining fill)                    1.3 %,  5.4 %
    64 KiB segments, at most 32 (here)                                    1.8 %,  5.5 %
The two that are closer have as many figures, all of them fitted, and name nothing that handles
bytes so; slices are what the engine does. What falls short in all: 1 MiB is 5 % quicker than its
neighbours let it be, and 256 to 512 KiB are 4 to 5 % slower. Fitted to reads alone, writes are off
by 2.7 % at the median and 5.7 % at most; the other way round by 3.2 and 5.6 %.

The fits were made before this was first run, and the figures then rounded to two or three digits.
What came out: 1.95 and 5.4 %, as expected, but that a write of 256 KiB (measured slower) is as far
off as a read of 1 MiB (measured quicker).
"""

import csv
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.rows import UNAVAILABLE, Row, arguments, report
from configs.schema import load_link
from configs.schema.link import LinkSpec
from tests.workers.bench import SECOND_NS, Bench
from tests.workers.wire.parcel import Parcel

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("PERFUSE_SHARED_DATA", ROOT.parent / "shared" / "data"))
CURVE = DATA / "rdma_transfer_curve.csv"
LINK = "ib-mooncake"
MEDIAN_BAR, LARGEST_BAR = 3.0, 6.0  # %
HEAD_BYTES = 64  # of a read's request and a write's acknowledgement

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Transfer:
    """One measured mean."""

    operation: str
    num_bytes: int
    took_us: float

    @property
    def name(self) -> str:
        return f"{self.operation} of {self.num_bytes // 1024:,} KiB"


def read_curve(path: Path) -> list[Transfer]:
    """Raises ValueError where a row is not as `README.md` beside it says."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    try:
        transfers = [
            Transfer(row["operation"], int(row["message_bytes"]), float(row["mean_wall_us"]))
            for row in rows
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: needs operation, message_bytes and mean_wall_us") from error
    if {t.operation for t in transfers} != {"read", "write"}:
        raise ValueError(f"{path}: has no reads or no writes")
    return transfers


def emulated_us(link: LinkSpec, transfers: Sequence[Transfer]) -> Floats:
    """How long each takes its caller, one after the other, between two nodes in virtual time."""

    async def job(bench: Bench) -> list[float]:
        bench.port("far").on(Parcel, lambda m: Parcel(charged=m.content.body["answer"]))
        took_us = []
        for transfer in transfers:
            asked, answered = HEAD_BYTES, transfer.num_bytes
            if transfer.operation == "write":
                asked, answered = answered, asked
            began_ns = bench.clock.now()
            parcel = Parcel({"answer": answered}, charged=asked)
            await bench.port("near").call("far", parcel, deadline_ns=began_ns + SECOND_NS)
            took_us.append((bench.clock.now() - began_ns) / 1e3)
        return took_us

    return np.array(Bench("near", "far", links={"near": link, "far": link}).run(job))


def line_us(transfers: Sequence[Transfer]) -> Floats:
    """The best line through them: least squares of relative errors."""
    sizes = np.array([t.num_bytes for t in transfers], float)
    took_us = np.array([t.took_us for t in transfers])
    terms = np.stack([np.ones_like(sizes), sizes], axis=1)
    weighted = terms / took_us[:, None]
    best, *_ = np.linalg.lstsq(weighted, np.ones_like(took_us), rcond=None)
    return np.asarray(terms @ best, float)


def rows_of(
    what: str, found_us: Floats, transfers: Sequence[Transfer], how: str, has_bar: bool = False
) -> list[Row]:
    """Median and largest error, the latter with where it is."""
    took_us = np.array([t.took_us for t in transfers])
    errors = np.abs(found_us / took_us - 1) * 100
    worst = transfers[int(errors.argmax())].name
    median, largest = float(np.median(errors)), float(errors.max())
    bars = [f"<= {MEDIAN_BAR:g} %", f"<= {LARGEST_BAR:g} %"] if has_bar else ["none", "none"]
    holds = [not has_bar or median <= MEDIAN_BAR, not has_bar or largest <= LARGEST_BAR]
    return [
        Row(f"{what}: median error", median, "%", bars[0], holds[0], how),
        Row(f"{what}: largest error", largest, "%", bars[1], holds[1], f"{how}; at a {worst}"),
    ]


def compared(transfers: Sequence[Transfer]) -> list[Row]:
    link = load_link(LINK)
    how = "calibrated: emulated calls in virtual time beside measured means of single transfers"
    found_us = emulated_us(link, transfers)
    rows = rows_of(f"{LINK}, {len(transfers)} transfers", found_us, transfers, how, has_bar=True)
    for operation in ("read", "write"):
        chosen = np.array([t.operation == operation for t in transfers])
        some = [t for t in transfers if t.operation == operation]
        rows += rows_of(f"{LINK}, {operation}s alone", found_us[chosen], some, how)
    best = "calibrated: least squares of relative errors"
    rows += rows_of("one latency and one bandwidth", line_us(transfers), transfers, best)
    plain = "projection: emulated calls; specified, not fitted"
    rows += rows_of("ib-ndr", emulated_us(load_link("ib-ndr"), transfers), transfers, plain)
    return rows


def main() -> int:
    parser = arguments("A link's time by message size beside measured RDMA transfers.")
    parser.add_argument("--data", type=Path, default=CURVE, help="rdma_transfer_curve.csv")
    options = parser.parse_args()
    if not options.data.exists():
        print(f"{options.data}: is not there; name rdma_transfer_curve.csv by --data")
        return UNAVAILABLE
    return report(compared(read_curve(options.data)), options.json, "a link is a curve")


if __name__ == "__main__":
    sys.exit(main())
