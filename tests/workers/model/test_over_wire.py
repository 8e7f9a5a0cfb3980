"""Experts that rows travel to and sums come back from, in one process."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from configs.precision import EXACT, Precision
from tests.workers.model.models import SIZES, write_model
from workers.model.local import over_wire
from workers.model.numerics import numerics_of
from workers.model.reference import Reference

BF16 = Precision("bf16", "bf16")


def tripled(layer: int, rows: NDArray, experts: NDArray, weights: NDArray) -> NDArray[np.float32]:
    assert rows.dtype == np.float32
    return np.asarray(3 * rows, np.float32)


@pytest.mark.parametrize(
    ("precision", "wanted"),
    [
        # bf16 has 8 bits: 129.5 becomes 130 (a tie with 129, which is odd), its triple 390 stays
        # (even), 1.5 and 4.5 stay.
        (BF16, [[390.0, 4.5]]),
        # A step is 129.5 / 127: 1.5 is 1.47 of them, one; its triple, 3.059, is 3.0625 in bf16.
        # 388.5 lies between 388 and 390 and is nearer to 388.
        (Precision("int8", "bf16"), [[388.0, 3.0625]]),
        (EXACT, [[388.5, 4.5]]),
    ],
    ids=str,
)
def test_by_hand(precision: Precision, wanted: list[list[float]]) -> None:
    rows, one = np.array([[129.5, 1.5]], np.float32), np.zeros((1, 1), np.int32)
    experts = over_wire(tripled, numerics_of(precision, 2))
    sums = experts(0, rows, one, one.astype(np.float32))
    assert sums.dtype == np.float64
    assert sums.tolist() == wanted


def test_a_reference_with_a_wire_is_near_one_without(tmp_path: Path) -> None:
    """In exact mode it is the same to the bit; else off by some roundings of sums."""
    write_model(tmp_path, sizes=SIZES)
    ids = list(range(3, 40))
    exact = Reference(tmp_path).all_logits(ids)
    over = Reference(tmp_path, wire=numerics_of(EXACT, SIZES["hidden_size"])).all_logits(ids)
    assert np.array_equal(over, exact)
