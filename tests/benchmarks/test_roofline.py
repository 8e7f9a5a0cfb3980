"""What bounds a kernel: memory or the processor, whichever is slower for its bytes."""

import pytest

pytest.importorskip("torch")

from benchmarks.kernels.case import Case, Machine, Measured


def test_few_operations_a_byte_are_bound_by_reading():
    machine = Machine(read=30.0, peak=120.0)
    assert machine.roofline(0.0) == 30.0
    assert machine.roofline(2.0) == 30.0
    assert machine.roofline(4.0) == 30.0


def test_many_are_bound_by_what_registers_do():
    assert Machine(read=30.0, peak=120.0).roofline(16.0) == 7.5


def test_a_bar_is_held_by_the_share_of_the_roofline_on_its_instruction_set():
    case = Case("op", lambda: 0, "bf16", 16.0, bar=85, avx2_bar=80)
    # 6.3 of 7.5 GB/s: 84 %, though a fifth of what memory gives.
    for isa in ("avx2", "avx512"):
        case.measured[isa] = Measured([6.3], [Machine(read=30.0, peak=120.0)])
    narrow, wide = case.rows()
    assert (narrow.value, narrow.holds, narrow.bar) == (84.0, True, ">= 80 % of the roofline")
    assert (wide.value, wide.holds, wide.bar) == (84.0, False, ">= 85 % of the roofline")
    assert "101 Gop/s, 84 % of the bf16 peak" in wide.evidence
    assert "21 % of reading" in wide.evidence
