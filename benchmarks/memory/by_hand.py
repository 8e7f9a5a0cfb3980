"""TPOT of one stream on one chip that holds all experts, from the figures of its specification and
the sizes in its `config.json`: no declared work and no emulator is used.
"""

import json
from pathlib import Path

from configs.schema import DeviceSpec, TierSpec

FP32_BYTES = 4


def read_ns(tier: TierSpec, num_bytes: int) -> float:
    """One read, alone: the latency, then bytes by bandwidth."""
    return tier.read_latency_ns + num_bytes / (tier.read_bytes_per_s * tier.efficiency) * 1e9


def tpot_ns(folder: Path, device: DeviceSpec, context: float) -> float:
    """Weights, embedding and experts in tier "hbf", which has a buffer that holds the chip's
    weights; KV, and messages between the workers of the machine, in "hbm". The token's row of the
    embedding is what no order of reading foretells: a page of it, which the first layer waits for.

    context   tokens in the cache, on average over the answer
    """
    sizes = json.loads((folder / "config.json").read_text())
    hidden, heads, kv_heads, width = (
        sizes[key]
        for key in ("hidden_size", "num_attention_heads", "num_key_value_heads", "head_dim")
    )
    hbm, hbf, overhead_ns = device.tiers["hbm"], device.tiers["hbf"], device.launch_overhead_ns
    per_ns = device.compute["fp32"] * device.compute_efficiency / 1e9
    projections = 2 * hidden * width * (heads + kv_heads) + hidden * sizes["num_experts"]
    scores = 4 * context * heads * width
    kv_bytes = 2 * kv_heads * width * FP32_BYTES
    attention_ns = overhead_ns + max(
        (2 * projections + scores) / per_ns,
        read_ns(hbm, round(context * kv_bytes)),
        hbm.write_latency_ns + kv_bytes / (hbm.write_bytes_per_s * hbm.efficiency) * 1e9,
    )
    expert = 3 * hidden * sizes["moe_intermediate_size"]
    active = sizes["num_experts_per_tok"]
    row_pages = -(-hidden * FP32_BYTES // hbf.page_bytes)
    row_ns = overhead_ns + read_ns(hbf, row_pages * hbf.page_bytes)
    experts_ns = overhead_ns + max(
        2 * active * expert / per_ns, read_ns(hbf, active * expert * FP32_BYTES)
    )
    head_ns = overhead_ns + 2 * hidden * sizes["vocab_size"] / per_ns
    # Out of memory and into it at once: a row there, and its sum back.
    there_and_back_ns = 2 * read_ns(hbm, hidden * FP32_BYTES)
    layer_ns = attention_ns + experts_ns + there_and_back_ns
    first_ns = max(attention_ns, row_ns) - attention_ns
    return float(first_ns + sizes["num_hidden_layers"] * layer_ns + head_ns)
