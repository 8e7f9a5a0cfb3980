"""gpt-oss: alternating windows, sinks, biases everywhere, experts in every layer."""

from dataclasses import replace

from configs.shapes.given import Given
from configs.shapes.network import Moe
from configs.shapes.readers.common import FULL, SLIDING, around, grouped, stacked, top_k
from configs.shapes.readers.moe import num_experts
from configs.shapes.shape import ModelShape


def read(given: Given) -> ModelShape:
    count = given.num_layers()
    types = given.each("layer_types", count, FULL, SLIDING)
    if types is None:
        types = [FULL if layer % 2 else SLIDING for layer in range(count)]
    bias = given.is_on("attention_bias", True)
    far = replace(grouped(given), bias=bias, out_bias=bias, sinks=True)
    near = replace(far, window=given.size("sliding_window"))
    experts = num_experts(given, "num_local_experts")
    moe = Moe(
        experts,
        top_k(given, experts),
        given.size("intermediate_size"),
        bias=True,
        router_bias=True,
        router="router",
    )
    mixers = [near if kind == SLIDING else far for kind in types]
    return around(given, stacked(mixers, [moe] * count, 2 * given.size("hidden_size")))
