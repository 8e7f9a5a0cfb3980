"""What rows and sums cost on a wire, and how sums merge."""

import numpy as np
import pytest

from configs.precision import EXACT, Precision
from workers.model.numerics import EXACT_NUMERICS, Real, numerics_of, total

HIDDEN = 7168  # DeepSeek-V3's


@pytest.mark.parametrize(
    ("precision", "row_bytes", "sum_bytes"),
    [
        (EXACT, 4 * 7168, 4 * 7168),
        (Precision("bf16", "bf16"), 2 * 7168, 2 * 7168),
        (Precision("bf16", "int8"), 2 * 7168, 2 * 7168),
        (Precision("int8", "bf16"), 7168 + 4, 2 * 7168),
        (Precision("int4", "bf16"), 7168 + 4, 2 * 7168),
    ],
    ids=str,
)
def test_bytes_by_hand(precision: Precision, row_bytes: int, sum_bytes: int) -> None:
    numerics = numerics_of(precision)
    assert numerics.row_bytes(HIDDEN) == row_bytes
    assert numerics.sum_bytes(HIDDEN) == sum_bytes


def test_exact_mode_is_fp32_on_the_wire_and_float64_where_it_merges() -> None:
    assert numerics_of(EXACT) is EXACT_NUMERICS == Real("fp32", "fp32")
    rows = np.ones((3, 5), np.float32)
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
