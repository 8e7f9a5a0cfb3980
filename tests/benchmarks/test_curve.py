"""The curve's benchmark compares what it is given, and says so where it is something else."""

from pathlib import Path

import pytest

from benchmarks.curve import LINK, compared, read_curve
from configs.schema import load_link

HEAD = "operation,message_bytes,mean_GBps,mean_wall_us\n"
# 4,080 ns each way; 340 ns and 64 B at 41.7 B/ns there, 340 ns and 4,096 B back, or the other way
# round, each rounded up: 4,080 + 342 + 4,080 + 439.
EXACT_US = 8.941


def written(folder: Path, *rows: str) -> Path:
    path = folder / "curve.csv"
    path.write_text(HEAD + "".join(f"{row}\n" for row in rows), encoding="utf-8")
    return path


def test_what_the_link_does_is_no_error_and_half_of_it_is_half(tmp_path: Path) -> None:
    exact = [f"{way},4096,0.46,{EXACT_US}" for way in ("read", "write")]
    rows = compared(read_curve(written(tmp_path, *exact)))
    assert [(row.value, row.holds) for row in rows[:6]] == [(0.0, True)] * 6
    slow = [f"{way},4096,0.46,{2 * EXACT_US}" for way in ("read", "write")]
    rows = compared(read_curve(written(tmp_path, *slow)))
    assert [row.holds for row in rows[:2]] == [False, False]
    assert rows[1].value == pytest.approx(50)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("read,some,0.46,8.9", "needs operation, message_bytes and mean_wall_us"),
        ("read,4096,0.46", "needs operation, message_bytes and mean_wall_us"),
        ("read,4096,0.46,8.9", "has no reads or no writes"),
    ],
)
def test_another_file_is_refused(tmp_path: Path, row: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_curve(written(tmp_path, row))


def test_the_link_has_five_figures() -> None:
    """Those that its file tells of, and no sixth."""
    link = load_link(LINK)
    figures = link.latency_ns, link.bytes_per_s, link.overhead_ns, link.segment_bytes
    assert figures == (4_080, 41_700_000_000, 340, 65_536)
    assert link.max_segments == 32
    assert (link.startup_ns, link.messages_per_s) == (0, None)
