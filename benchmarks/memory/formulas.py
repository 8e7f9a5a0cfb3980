"""Published figures of High Bandwidth Flash beside what the shipped devices give.

The devices are `configs/devices`, the functions those that `perfuse show` uses (`configs.flash`).
Expected: within rounding of the published figures, all of which have two to four digits.
"""

from collections.abc import Iterator

from benchmarks.rows import Row
from configs.flash import (
    channels_bytes_per_s,
    devices_that_hold,
    hiding_buffer_bytes,
    life_of,
    sram_mm2,
)
from configs.model_config import ModelConfig
from configs.precision import Precision
from configs.schema import load_device

WITHIN = 0.01
# H3 (IEEE CAL 2026): eight cubes of flash beside eight of HBM.
CUBES = 8
# H3's workload: huggingface.co/meta-llama/Llama-3.1-405B, config.json; no experts. Weights in fp8,
# a byte each; KV in bf16 (H3 names no numbers for KV; in fp8 its GPU counts do not come out).
LLAMA_405B = ModelConfig(
    architecture="LlamaForCausalLM",
    dtype="bfloat16",
    hidden=16_384,
    num_layers=126,
    num_heads=128,
    num_kv_heads=8,
    head_dim=128,
    num_experts=0,
    top_k=0,
    moe_intermediate=0,
    vocab=128_256,
    rope_theta=500_000.0,
    rms_eps=1e-5,
    norm_topk_prob=False,
    tie_embeddings=False,
    max_context=131_072,
    dense_layers=126,
    dense_intermediate=53_248,
)
MI = 1 << 20  # tokens
# context in Mi tokens -> GPUs of HBM alone, GPUs with flash behind it (H3)
GPU_COUNTS = {1: (8, 1), 10: (32, 2)}
# Characterizing HBF for LLM Serving (2026), H3's device, cache-aware with a 10 % admission buffer:
# bytes written to flash in the run, its seconds, and years of life.
WRITTEN_BYTES, RUN_S, LIFE_YEARS = 6.69e12, 10_419, 14.8
# OCP HBF Architecture Specification 0.7.0 (summary): grade -> channels, GT/s, user bandwidth
LANES, LINK_EFFICIENCY = 64, 0.75
GRADES = {1: (8, 8, 0.384e12), 2: (16, 16, 1.536e12), 3: (16, 32, 3.072e12)}


def run() -> Iterator[Row]:
    yield from buffers()
    yield from gpu_counts()
    yield life()
    yield from grades()


def near(name: str, value: float, right: float, unit: str, how: str) -> Row:
    holds = abs(value - right) <= WITHIN * right
    return Row(name, value, unit, f"{right:g} within {WITHIN:.0%}", holds, f"projection: {how}")


def buffers() -> Iterator[Row]:
    hbf = load_device("b200-h3").tiers["hbf"]
    a_cube = hiding_buffer_bytes(hbf) / CUBES
    how = "b200-h3: 2 x bandwidth x latency of eight cubes"
    yield near("buffer that hides a cube's latency", a_cube / 1e6, 40.0, "MB", how)
    yield near("its area at 3 nm", sram_mm2(round(a_cube)), 8.0, "mm2", f"{how}, H3's density")


def gpu_counts() -> Iterator[Row]:
    kv_bytes = Precision("bf16", "bf16").kv_bytes_per_token(LLAMA_405B)
    weights = Precision("int8", "bf16").total_bytes(LLAMA_405B)  # a byte each, as fp8
    for context, counts in GPU_COUNTS.items():
        needed = context * MI * kv_bytes + weights
        for device, right in zip(("b200-sxm", "b200-h3"), counts, strict=True):
            count = devices_that_hold(needed, load_device(device))
            yield Row(
                f"{device} for Llama-3.1-405B with {context} Mi tokens of KV",
                count,
                "GPUs",
                f"{right} (H3)",
                count == right,
                f"projection: {needed / 1e9:,.0f} GB, in powers of two (assumed)",
            )


def life() -> Row:
    hbf = load_device("b200-h3").tiers["hbf"]
    years = life_of(hbf, WRITTEN_BYTES / RUN_S)
    how = "b200-h3, written as in Characterizing HBF's table"
    return near("life of H3's flash", years, LIFE_YEARS, "years", how)


def grades() -> Iterator[Row]:
    """The lanes' product beside the grade, and what the shipped device sustains beside it."""
    for grade, (channels, gigatransfers, user) in GRADES.items():
        tier = load_device(f"ocp-hbf-grade{grade}").tiers["hbf"]
        raw = channels_bytes_per_s(tier.channels, LANES, gigatransfers * 10**9)
        how = f"{channels} channels x {LANES} lanes x {gigatransfers} GT/s x 75 %"
        if grade == 1:
            how += "; 8 channels are assumed, with 16 it would be twice as much"
        yield near(
            f"OCP grade {grade} from its lanes", raw * LINK_EFFICIENCY / 1e12, user / 1e12,
            "TB/s", how,
        )  # fmt: skip
        device = f"ocp-hbf-grade{grade}"
        sustained = tier.sustained_read_bytes_per_s / 1e12
        yield near(f"{device} sustains", sustained, user / 1e12, "TB/s", "read x efficiency")
