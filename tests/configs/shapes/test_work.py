"""Work of one layer, and what sequences keep, worked out by hand."""

from dataclasses import replace

from configs.shapes.compressed import Compressed
from configs.shapes.describe import describe_model
from configs.shapes.shape import ModelShape
from configs.shapes.work import Run, layer_work

DECODE = [Run(count=1, start=4095)] * 2  # two sequences of 4,096 tokens each, one of them new


def test_a_deepseek_v3_layer() -> None:
    """Layer 3 of V3, decode of two tokens at 4,096: latent attention, absorbed.

    Projections: 7168 x 1536 + 1536 x 24576 + 7168 x 576 + 512 x 32768 + 16384 x 7168
    = 11,010,048 + 37,748,736 + 4,128,768 + 16,777,216 + 117,440,512 = 187,105,280; the shared
    expert 3 x 7168 x 2048 = 44,040,192, a routed one as much. Pairs: 128 heads x (2 x 512 + 64).
    """
    shape = describe_model("deepseek-v3")
    work = layer_work(shape, 3, DECODE)
    assert work.weights_flops == 2 * 2 * (187_105_280 + 44_040_192)
    assert work.router_flops == 2 * 2 * 256 * 7168
    assert work.expert_flops == 2 * 2 * 8 * 44_040_192
    assert work.pair_flops == 2 * 2 * 4096 * 128 * (2 * 512 + 64) == 2_281_701_376
    assert (work.index_flops, work.state_flops) == (0, 0)
    assert work.kv_read == 2 * 4096 * 576 * 2
    assert work.kv_written == 2 * 576 * 2
    # fp8 with an fp32 scale for each block of 128 x 128; 576 rows are 4.5 blocks.
    blocks = 12 * 56 + 192 * 12 + 5 * 56 + 256 * 4 + 56 * 128 + 3 * 16 * 56
    vectors = 1536 + 512 + 2 * 7168 + 256
    in_bf16 = 2 * (256 * 7168 + vectors)
    assert work.weights_read == 187_105_280 + 44_040_192 + 4 * blocks + in_bf16
    # Two tokens can reach 16 experts.
    assert work.experts_read == 16 * (44_040_192 + 4 * 3 * 16 * 56)
    assert layer_work(shape, 3, DECODE, visited=9).experts_read * 16 == work.experts_read * 9


def test_a_gpt_oss_sliding_layer() -> None:
    """Layer 0 has a window of 128: 4,096 tokens before change nothing.

    Projections of 2880: to 4096 queries and back, to 512 keys and 512 values.
    """
    shape = describe_model("gpt-oss-120b")
    work = layer_work(shape, 0, DECODE)
    assert work.weights_flops == 2 * 2 * (2 * 2880 * 4096 + 2 * 2880 * 512)
    assert work.pair_flops == 2 * 2 * 128 * 64 * (64 + 64)
    assert work.kv_read == 2 * 128 * 2 * 8 * 64 * 2
    assert work.router_flops == 2 * 2 * 128 * 2880
    assert work.expert_flops == 2 * 2 * 4 * 3 * 2880 * 2880
    # mxfp4: half a byte and a byte for 32; biases in bf16.
    expert = 3 * 2880 * 2880 // 2 + 3 * 2880 * 2880 // 32 + 2 * (2 * 2880 + 2880)
    assert work.experts_read == 8 * expert
    # The full layer beside it meets all.
    assert layer_work(shape, 1, DECODE).pair_flops == work.pair_flops * 32
    # A prefill of 200 from nothing: 1 + 2 + ... + 128, then 72 times 128; all are read once.
    prefill = layer_work(shape, 0, [Run(200)])
    assert prefill.pair_flops == 2 * (128 * 129 // 2 + 72 * 128) * 64 * 128
    assert prefill.kv_read == 200 * 2 * 8 * 64 * 2


def test_a_qwen3_next_linear_layer() -> None:
    """Layer 0: 16 key heads and 32 value heads of 128, so 2048 keys and 4096 values.

    In: 2 x 2048 + 4096 + 4096 (gate) + 64; convolution 8192 x 4; out 4096. State: 32 x 128 x 128
    in fp32 and three inputs of 8192 in bf16, read and written by each sequence.
    """
    shape = describe_model("qwen3-next-80b-a3b")
    work = layer_work(shape, 0, DECODE)
    mixer = 2048 * (2 * 2048 + 4096 + 4096 + 64) + 8192 * 4 + 4096 * 2048
    shared = 3 * 2048 * 512
    assert work.weights_flops == 2 * 2 * (mixer + shared)
    assert work.router_flops == 2 * 2 * 2048 * (512 + 1)  # and the weight of the shared expert
    assert work.state_flops == 2 * 7 * 32 * 128 * 128
    assert (work.pair_flops, work.kv_read, work.kv_written) == (0, 0, 0)
    assert work.state_read == work.state_written == 2 * (32 * 128 * 128 * 4 + 3 * 8192 * 2)
    # One layer in four keeps keys: 2 heads of 256, gated outputs.
    full = layer_work(shape, 3, DECODE)
    assert full.kv_read == 2 * 4096 * 2 * 2 * 256 * 2
    assert full.pair_flops == 2 * 2 * 4096 * 16 * 512
    assert full.weights_flops == 2 * 2 * (2048 * (2 * 4096 + 2 * 512) + 4096 * 2048 + shared)


def test_a_llama_dense_layer() -> None:
    """70B: 8192 to 8192 + 2 x 1024 and back, three times 8192 x 28672; all of it in bf16."""
    shape = describe_model("llama-3.1-70b")
    work = layer_work(shape, 0, DECODE)
    weights = 2 * 8192 * 8192 + 2 * 8192 * 1024 + 3 * 8192 * 28_672
    assert weights == 855_638_016
    assert work.weights_flops == 2 * 2 * weights
    assert work.weights_read == 2 * (weights + 2 * 8192)
    assert (work.router_flops, work.expert_flops, work.experts_read) == (0, 0, 0)
    assert work.pair_flops == 2 * 2 * 4096 * 64 * 256
    assert work.kv_read == 2 * 4096 * 2 * 8 * 128 * 2
    # A prefill of three tokens after five: 6 + 7 + 8 pairs, eight tokens' keys.
    prefill = layer_work(shape, 0, [Run(count=3, start=5)])
    assert prefill.pair_flops == 2 * 21 * 64 * 256
    assert prefill.kv_read == 8 * 4096
    assert prefill.kv_written == 3 * 4096


def test_an_index_chooses() -> None:
    """DeepSeek-V3.2 at 8,192: 64 index heads of 128 score all, 2,048 are met."""
    shape = describe_model("deepseek-v3.2")
    work = layer_work(shape, 3, [Run(count=1, start=8191)])
    assert work.index_flops == 2 * 8192 * 64 * 128
    assert work.pair_flops == 2 * 2048 * 128 * (2 * 512 + 64)
    # Index keys in fp8 with a scale, all of them, and the chosen latents in bf16.
    assert work.kv_read == 8192 * 132 + 2048 * 576 * 2
    assert work.kv_written == 576 * 2 + 132


def wide_index(shape: ModelShape) -> ModelShape:
    """The same with index keys in the cache's numbers, as vLLM counts."""
    layers = []
    for layer in shape.layers:
        mixer = layer.mixer
        if mixer is not None and (index := getattr(mixer, "index", None)) is not None:
            mixer = replace(mixer, index=replace(index, fp8=False))
        layers.append(replace(layer, mixer=mixer))
    return replace(shape, layers=tuple(layers))


def test_a_million_tokens_of_deepseek_v4() -> None:
    """vLLM on the day of its release: 9.62 GiB a sequence of a million tokens in bf16 for V4-Pro,
    8.7 times less than V3.2.

    30 layers keep 2^18 entries of 512 and of 128, 31 layers 2^13 of 512, all a window of 128.
    """
    pro, before = describe_model("deepseek-v4-pro"), describe_model("deepseek-v3.2")
    kept = wide_index(pro).kv_bytes(1 << 20)
    assert kept == 2 * (30 * (1 << 18) * (512 + 128) + 31 * (1 << 13) * 512 + 61 * 128 * 512)
    assert f"{kept / 2**30:.2f}" == "9.62"
    assert f"{wide_index(before).kv_bytes(1 << 20) / kept:.1f}" == "8.7"


def test_compressed_entries_are_met() -> None:
    """Layer 2 of V4-Flash at 4,096: 128 tokens of the window and the best 512 of 1,024 entries."""
    shape = describe_model("deepseek-v4-flash")
    mixer = shape.layers[2].mixer
    assert isinstance(mixer, Compressed) and mixer.ratio == 4
    work = layer_work(shape, 2, [Run(count=1, start=4095)])
    assert work.pair_flops == 2 * (128 + 512) * 2 * 64 * 512
    assert work.index_flops == 2 * 1024 * 64 * 128
    # The last token closes an entry.
    assert work.kv_written == (1 + 1) * 512 * 2 + 132
