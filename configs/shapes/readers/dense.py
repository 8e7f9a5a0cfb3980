"""Llama and what followed it: grouped-query attention and one gated network in every layer."""

from dataclasses import replace

from configs.shapes.attention import Full
from configs.shapes.given import Given
from configs.shapes.network import Dense
from configs.shapes.readers.common import (
    around,
    grouped,
    next_token_layer,
    stacked,
    windowed,
)
from configs.shapes.shape import ModelShape


def read_llama(given: Given) -> ModelShape:
    """Llama, Yi, Code Llama, and others that say they are one."""
    bias = given.is_on("attention_bias")
    attention = replace(grouped(given), bias=bias, out_bias=bias)
    return _alike(given, attention, given.is_on("mlp_bias"))


def read_mistral(given: Given) -> ModelShape:
    """Mistral: a window over all layers, or none."""
    window = given.size("sliding_window") if "sliding_window" in given.values else None
    return _alike(given, replace(grouped(given), window=window))


def read_qwen2(given: Given) -> ModelShape:
    """Qwen2 and Qwen2.5: biases of queries, keys and values."""
    return _windowed(given, replace(grouped(given), bias=True))


def read_qwen3(given: Given) -> ModelShape:
    """Qwen3, also within Qwen3-VL: normed queries and keys."""
    bias = given.is_on("attention_bias")
    return _windowed(given, replace(grouped(given), norm="head", bias=bias, out_bias=bias))


def read_mimo(given: Given) -> ModelShape:
    """MiMo-7B: Qwen2, and a layer for multi-token prediction."""
    given.require("attention_bias", True, "it must be true: queries, keys and values have biases")
    shape = read_qwen2(given)
    count = given.more_layers("num_nextn_predict_layers")
    extra = next_token_layer(shape.hidden)
    return replace(shape, mtp=shape.layers[-1:] * count, mtp_extra=extra)


def _alike(given: Given, attention: Full, bias: bool = False) -> ModelShape:
    network = Dense(given.size("intermediate_size"), bias=bias)
    count = given.num_layers()
    gains = 2 * given.size("hidden_size")
    return around(given, stacked([attention] * count, [network] * count, gains))


def _windowed(given: Given, attention: Full) -> ModelShape:
    network, gains = Dense(given.size("intermediate_size")), 2 * given.size("hidden_size")
    mixers = windowed(given, attention)
    return around(given, stacked(mixers, [network] * len(mixers), gains))
