"""The hand arithmetic of benchmarks/laws, by hand once more; and that it is nobody's copy."""

import subprocess
import sys

import pytest

from benchmarks.laws._arithmetic.machine import Link, Machine, fair
from benchmarks.laws._arithmetic.model import Model
from benchmarks.laws._arithmetic.shipped import MODEL_FOLDER
from benchmarks.laws.arithmetic import ERROR_MAX, measure
from configs.schema import load_scenario

# A byte a nanosecond, 10 ns away.
LINK = Link(10.0, 1e9)


def test_it_loads_nothing_of_what_it_judges() -> None:
    script = (
        "import sys, benchmarks.laws._arithmetic.shipped;"
        "print(*(name for name in sys.modules if name.split('.')[0] in ('workers', 'cluster')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []


def test_who_is_there_at_once_has_equal_parts() -> None:
    """100 and 300 bytes: the first has moved after 200, when the other has 200 left. A third of 50
    from 100 on: three share until it has gone (250), having had a third each.
    """
    assert fair([(0, 100), (0, 300)], 1e9) == [200, 400]
    assert fair([(0, 100), (0, 300), (100, 50)], 1e9) == pytest.approx([250, 450, 250])
    assert fair([(50, 100), (0, 10)], 1e9) == [150, 10]


def test_a_link_is_cut_through_and_its_ways_in_and_out_are_shared() -> None:
    assert LINK.alone(100) == 110
    assert LINK.out([(0, 100), (0, 100)]) == [210, 210]
    assert LINK.into([(0, 100), (0, 100)]) == [210, 210]
    assert LINK.into([(0, 100), (500, 100)]) == [110, 610]


def test_a_run_is_its_slowest_part_and_a_launch() -> None:
    """h100-sxm: 3 us; 53.52 TFLOP/s; 2.68 TB/s and 100 ns. 5,352 MFLOP take 100 us; 268 MB take
    100.1 us.
    """
    chip = Machine(load_scenario("single", {}).cluster.nodes["chip"].device)
    assert chip.run(flops=5.352e9) == pytest.approx(103_000)
    assert chip.run(flops=5.352e9, reads=268e6) == pytest.approx(103_100, rel=1e-5)


def test_sizes_of_the_shipped_model() -> None:
    """H 128, 8 heads and 4 KV heads of 32, 8 experts of 64: 128 x (2 x 256 + 2 x 128 + 8) weights a
    layer; 2 x 128 numbers of KV; 3 x 128 x 64 of an expert.
    """
    model = Model(MODEL_FOLDER)
    assert model.layer_weights == 99_328
    assert model.kv_token_bytes == 1_024
    assert model.expert_bytes == 98_304
    assert model.attention_flops(10, 2) == 4 * 99_328 + (2 * 10 + 3) * 4 * 256


@pytest.mark.parametrize(
    ("scenario", "link"), [("single", ("1 us", "1 GB/s")), ("demo", ("1 ms", "10 GB/s"))]
)
def test_the_emulator_agrees(scenario: str, link: tuple[str, str]) -> None:
    """All cells are `python -m benchmarks.laws --only arithmetic`."""
    cell = measure(scenario, *link, Model(MODEL_FOLDER), 0)
    assert max(map(abs, cell.errors.values())) < ERROR_MAX, cell
    assert not cell.again
