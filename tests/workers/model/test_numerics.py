"""What rows and sums cost on a wire, and how sums merge."""

import numpy as np
import pytest

from configs.precision import EXACT, Precision, WireKind
from workers.model.numerics import EXACT_NUMERICS, Real, numerics_of, total

HIDDEN = 7168  # DeepSeek-V3's


@pytest.mark.parametrize(
    ("precision", "row_bytes", "sum_bytes"),
    [
        (EXACT, 4 * 7168, 4 * 7168),
        (Precision("bf16", "bf16"), 2 * 7168, 2 * 7168),
        (Precision("bf16", "int8"), 2 * 7168, 2 * 7168),
        # 56 groups of 128 channels, each with a scale of 4 bytes
        (Precision("int8", "bf16"), 7168 + 56 * 4, 2 * 7168),
        (Precision("int4", "bf16"), 7168 + 56 * 4, 2 * 7168),
    ],
    ids=str,
)
def test_bytes_by_hand(precision: Precision, row_bytes: int, sum_bytes: int) -> None:
    numerics = numerics_of(precision, HIDDEN)
    x = np.zeros((3, HIDDEN), np.float32)
    rows = numerics.sent(x)
    assert rows.nbytes == 3 * row_bytes
    assert numerics.row_bytes(rows.shape[1]) == row_bytes
    assert numerics.sum_bytes(HIDDEN) == sum_bytes
    if not precision.exact:
        assert numerics.answered(x).nbytes == 3 * sum_bytes


@pytest.mark.parametrize(("row", "num_bytes"), [("fp32", 4 * 6), ("bf16", 2 * 6), ("int8", 8 + 4)])
def test_a_model_in_bf16_may_send_other_rows(row: WireKind, num_bytes: int) -> None:
    numerics = numerics_of(Precision("bf16", "bf16"), 6, row)
    assert numerics.sent(np.zeros((1, 6), np.float32)).nbytes == num_bytes
    assert numerics.sum_bytes(6) == 12


def test_rows_arrive_rounded_as_they_travel() -> None:
    """1 + 2^-8 is a tie in bf16, and goes to 1; beside 127 a step of int8 is 1."""
    x = np.array([[1 + 2.0**-8, 127.0, -2.6]], np.float32)
    for precision, wanted in (
        (EXACT, x.tolist()),
        (Precision("bf16", "bf16"), [[1, 127, -2.59375]]),
        (Precision("int8", "bf16"), [[1, 127, -3]]),
    ):
        numerics = numerics_of(precision, 3)
        assert numerics.received(numerics.sent(x)).tolist() == wanted


def test_sums_of_a_speed_mode_come_back_in_bf16_and_merge_wider() -> None:
    """256 and 257 are both 256 in bf16, which has 8 bits; their sum is 512 and no less."""
    numerics = numerics_of(Precision("bf16", "bf16"), 1)
    partials = [numerics.answered(np.array([[x]], np.float32)) for x in (256, 257, 0.5)]
    assert [partial.item() for partial in partials] == [0x4380, 0x4380, 0x3F00]
    assert total(numerics, [np.zeros((1, 1), np.float32), *partials]).item() == 512.5
    sums = numerics.zero(np.zeros((2, 1)))
    for partial in partials:
        numerics.add(sums, np.array([1]), partial)
    assert sums.tolist() == [[0], [512.5]]


def test_exact_mode_is_fp32_on_the_wire_and_float64_where_it_merges() -> None:
    assert numerics_of(EXACT, 5) is EXACT_NUMERICS == Real("fp32", "fp32")
    rows = np.ones((3, 5), np.float32)
    assert EXACT_NUMERICS.sent(rows) is EXACT_NUMERICS.received(rows) is rows
    wide = np.ones((3, 5), np.float64)
    assert EXACT_NUMERICS.answered(wide) is wide
    sums = EXACT_NUMERICS.zero(rows)
    assert sums.dtype == np.float64 and sums.shape == (3, 5) and not sums.any()
    EXACT_NUMERICS.add(sums, np.array([2, 0]), np.array([[1.0], [2.0]]) * np.ones(5))
    assert sums[:, 0].tolist() == [2.0, 0.0, 1.0]


def test_partials_merge_in_order_and_wider_than_they_came() -> None:
    """2^25 + 1 has no fp32: in float64 the one survives until the large share is taken away."""
    partials = [np.full((1, 1), x, np.float32) for x in (2**25, 1, -(2**25))]
    assert total(EXACT_NUMERICS, partials).item() == 1.0
    assert sum(partials).item() == 0.0  # type: ignore[union-attr]
    huge = [np.full((1, 1), x, np.float64) for x in (2.0**60, 1.0, -(2.0**60))]
    assert total(EXACT_NUMERICS, huge).item() == 0.0  # in the order given: the one is lost first
    assert total(EXACT_NUMERICS, [huge[0], huge[2], huge[1]]).item() == 1.0
