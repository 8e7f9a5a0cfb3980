"""The presets' figures beside what publishers print: dense arithmetic, one direction of a link,
energies from watts. The traps are the factors of two between them.
"""

import re
from itertools import pairwise
from pathlib import Path

import pytest

from configs.presets import KINDS
from configs.schema import load_device, load_link

GB, TFLOP = 10**9, 10**12

# (device, dtype, what its page prints with 2:1 sparsity, in TFLOP/s): the preset has half of it.
SPARSE = [
    ("a100-sxm", "bf16", 624),
    ("a100-sxm", "int8", 1_248),
    ("h100-sxm", "fp8", 3_958),
    ("h800", "fp8", 3_958),
    ("b200-sxm", "fp8", 9_000),
    ("gb200", "bf16", 5_000),
    ("gb200", "fp4", 20_000),
    ("b300-sxm", "fp8", 9_000),
    ("gb300", "fp8", 10_000),
]
# What is dense where it is printed, and no half of anything, in TFLOP/s.
DENSE = [
    ("h20", "bf16", 148),
    ("h20", "fp8", 296),
    ("b300-sxm", "fp4", 14_000),
    ("gb300", "int8", 165),
    ("rubin-cpx", "fp4", 20_000),
    ("mi355x", "bf16", 2_500),
    ("mi455x", "fp4", 20_000),
    ("tpu-v5e", "bf16", 197),
    ("tpu-v5p", "int8", 918),
    ("tpu-v6e", "bf16", 918),
    ("groq-lpu", "int8", 750),
    ("dmatrix-corsair", "int8", 2 * 1_200),
    ("a18-pro", "int8", 35),
    ("xpu-3d-dram", "bf16", 2_250),
]
# (link, what is printed for both directions together, in GB/s): the preset has half of it.
BOTH_WAYS = [
    ("nvlink3", 600),
    ("nvlink4", 900),
    ("nvlink4-h800", 400),
    ("nvlink5", 1_800),
    ("nvlink6", 3_600),
    ("nvlink-c2c", 900),
    ("ici-v5e", 400),
    ("ici-v5p", 1_200),
    ("ici-v6e", 800),
    ("ici-tpu7x", 1_200),
    ("ualink-mi455x", 3_600),
    ("groq-c2c", 480),
]
# The same from lanes: (link, number of links or lanes, Gb/s of each one way).
FROM_LANES = [
    ("xgmi3", 7, 512),
    ("xgmi4", 7, 612),
    ("ib-ndr", 1, 400),
    ("ib-xdr", 1, 800),
    ("groq-c2c", 16 * 4, 30),
    ("ici-v5p", 6, 800),
]
# (device, tier, GB/s): of one device, in decimal.
BANDWIDTHS = [
    ("a100-sxm", "hbm", 2_039),
    ("h20", "hbm", 4_000),
    ("h800", "hbm", 3_350),
    ("b300-sxm", "hbm", 7_750),
    ("mi455x", "hbm", 23_300),
    ("tpu-v5e", "hbm", 819),
    ("dmatrix-corsair", "lpddr", 400),
    ("memory-hbm4", "hbm", 8 * 1_638),
    ("memory-ddr5", "ddr", 16 * 51),
    ("memory-gddr7", "gddr", 16 * 32 * 32 // 8),
    ("memory-lpddr5x", "lpddr", 1_092),
    ("memory-flash", "flash", 4),
    ("pnm-hbm4", "hbm", 8 * 1_638),
]
# (device, tier, W, GB/s) of Ma and Patterson's table: W / (GB/s) / 8 bit is pJ/bit, times 1,000.
ENERGIES = [
    ("memory-hbm4", "hbm", 40, 1_638),
    ("pnm-hbm4", "hbm", 40 / 2.5, 1_638),
    ("memory-ddr5", "ddr", 12, 51),
    ("memory-lpddr5x", "lpddr", 3, 51),
    ("memory-flash", "flash", 50, 4),
]


@pytest.mark.parametrize(("name", "dtype", "sparse"), SPARSE)
def test_sparse_rates_are_halved(name: str, dtype: str, sparse: int) -> None:
    assert load_device(name).compute[dtype] == sparse * TFLOP // 2


@pytest.mark.parametrize(("name", "dtype", "dense"), DENSE)
def test_dense_rates_are_kept(name: str, dtype: str, dense: int) -> None:
    assert load_device(name).compute[dtype] == dense * TFLOP


@pytest.mark.parametrize(("name", "both"), BOTH_WAYS)
def test_a_link_has_one_direction(name: str, both: int) -> None:
    assert load_link(name).bytes_per_s == both * GB // 2


@pytest.mark.parametrize(("name", "num", "gbits"), FROM_LANES)
def test_a_link_is_all_its_lanes_one_way(name: str, num: int, gbits: int) -> None:
    assert load_link(name).bytes_per_s == num * gbits * GB // 8


@pytest.mark.parametrize(("name", "tier", "gb_per_s"), BANDWIDTHS)
def test_memory_bandwidth_is_in_decimal_bytes(name: str, tier: str, gb_per_s: int) -> None:
    assert load_device(name).tiers[tier].read_bytes_per_s == gb_per_s * GB


@pytest.mark.parametrize(("name", "tier", "watts", "gb_per_s"), ENERGIES)
def test_energies_are_watts_at_full_bandwidth(
    name: str, tier: str, watts: float, gb_per_s: int
) -> None:
    found = load_device(name).tiers[tier].read_pj_per_bit
    assert found == pytest.approx(watts / gb_per_s / 8 * 1_000, rel=0.015)


def test_compute_on_the_base_die_takes_a_half_to_a_third_of_the_power() -> None:
    """Ma and Patterson (2026): the bandwidth of HBM, 2 to 3 times less power."""
    far, near = (load_device(name).tiers["hbm"] for name in ("memory-hbm4", "pnm-hbm4"))
    assert far.read_bytes_per_s == near.read_bytes_per_s
    assert far.capacity_bytes == near.capacity_bytes
    assert 2 <= far.read_pj_per_bit / near.read_pj_per_bit <= 3


def test_an_h800_is_an_h100_but_for_its_link() -> None:
    one, other = load_device("h800"), load_device("h100-sxm")
    assert (one.compute, one.tdp_watts) == (other.compute, other.tdp_watts)
    assert one.tiers["hbm"].read_bytes_per_s == other.tiers["hbm"].read_bytes_per_s


FIGURE = re.compile(r" *([a-z0-9_]+): (\d[^#]*)")


@pytest.mark.parametrize("kind", ["device", "link"])
def test_every_figure_has_words_beside_it(kind: str) -> None:
    """Its source, its derivation or that it is assumed: behind it, or on the line before. What is
    written at the figure that is read stands once, with the latter.
    """
    bare = [
        f"{path.stem}: {found[0].strip()}"
        for path in sorted(KINDS[kind].glob("*.yaml"))
        for found in _bare_figures(path)
    ]
    assert bare == []


def _bare_figures(path: Path) -> list[re.Match[str]]:
    read: dict[str, str] = {}
    bare = []
    for before, line in pairwise(["", *path.read_text(encoding="utf-8").splitlines()]):
        found = FIGURE.match(line)
        if found is None:
            continue
        key, value = found[1], found[2].strip()
        read[key] = value
        as_read = key.startswith("write") and read.get(key.replace("write", "read")) == value
        if not ("#" in line or before.strip().startswith("#") or as_read):
            bare.append(found)
    return bare
