"""What a chip, a shard and a sequence need, and what does not fit."""

import pytest

from configs.shapes.describe import describe_model
from configs.shapes.placement import Ranks, fit, least, place, problems, stages

GB = 10**9


def test_stages_are_whole_layers() -> None:
    shape = describe_model("deepseek-v3")
    assert [len(stage) for stage in stages(shape, 4)] == [16, 15, 15, 15]
    assert [i for stage in stages(shape, 4) for i in stage] == list(range(61))


def test_one_chip_holds_all() -> None:
    for name in ("gpt-oss-20b", "qwen3-0.6b", "nemotron-3-nano"):
        shape = describe_model(name)
        placed = place(shape, Ranks(), context=1000)
        assert placed.chip_bytes == shape.stored_bytes
        assert placed.kv_token_bytes == shape.kv_bytes_per_token()
        assert placed.sequence_bytes == shape.kv_bytes(1000) + shape.state_bytes()
        assert placed.shard_bytes == 0


def test_a_llama_layer_on_eight_ranks() -> None:
    """70B: matrices in eight parts, norms on each; one of eight KV heads a rank."""
    shape = describe_model("llama-3.1-70b")
    placed = place(shape, Ranks(tensor=8), context=100)
    layer = 855_638_016 * 2 // 8 + 2 * 2 * 8192
    ends = 2 * (128_256 * 8192 * 2 // 8) + 8192 * 2 // 8
    assert placed.chip_bytes == 80 * layer + ends
    assert placed.kv_token_bytes == 327_680 // 8
    # Sixteen ranks share eight heads: each keeps a whole one.
    assert place(shape, Ranks(tensor=16), context=100).kv_token_bytes == 327_680 // 8


def test_experts_on_shards_of_their_own() -> None:
    """V3: 256 experts of 58 layers on 16 shards; a latent is on every rank."""
    shape = describe_model("deepseek-v3")
    placed = place(shape, Ranks(tensor=8, shards=16), context=4096)
    expert = 44_040_192 + 4 * 3 * 16 * 56
    assert placed.shard_bytes == 16 * 58 * expert
    assert placed.kv_token_bytes == 70_272
    apart = place(shape, Ranks(shards=100), context=1)
    assert apart.shard_bytes == 3 * 58 * expert  # the fullest of them
    assert apart.chip_bytes + 256 * 58 * expert == shape.stored_bytes


def test_pipeline_ends() -> None:
    """The embedding is on the first stage, the projection on the last, a tied one on both."""
    shape = describe_model("qwen3-0.6b")
    table = 151_936 * 1024 * 2
    whole = place(shape, Ranks(), context=1).chip_bytes
    half = place(shape, Ranks(pipeline=2), context=1).chip_bytes
    assert 2 * half == whole + table + 2 * 1024  # the last norm stands on one of the two alone


@pytest.mark.parametrize(
    ("name", "ranks", "words"),
    [
        ("deepseek-v3", Ranks(tensor=3), "tensor is 3: it must divide 128 heads, e.g. 2"),
        ("llama-3.1-8b", Ranks(pipeline=33), "pipeline is 33: 1 to 32 layers can be stages"),
        ("llama-3.1-8b", Ranks(shards=2), "LlamaForCausalLM has no experts: 0"),
        ("mixtral-8x7b", Ranks(shards=9), "shards is 9: there are 8 experts"),
    ],
)
def test_degrees_that_cannot_be(name: str, ranks: Ranks, words: str) -> None:
    shape = describe_model(name)
    assert len(problems(shape, ranks)) == 1
    with pytest.raises(ValueError, match=words):
        place(shape, ranks, context=1)


def test_what_does_not_fit_is_told() -> None:
    shape = describe_model("gpt-oss-120b")
    assert fit(shape, Ranks(), 131_072, 80 * GB).problems == ()
    assert fit(shape, Ranks(), 131_072, 60 * GB).problems == (
        "a chip's weights: needs 65.2 GB, has 60.0 GB",
    )
    assert fit(shape, Ranks(), 131_072, 66 * GB).problems == (
        "a sequence of 131,072 tokens: needs 4.8 GB, has 0.8 GB",
    )
    assert fit(shape, Ranks(shards=1), 1024, 80 * GB, 50 * GB).problems == (
        "a shard's experts: needs 61.0 GB, has 50.0 GB",
    )


@pytest.mark.parametrize("name", ["deepseek-v3", "llama-3.1-405b", "nemotron-3-ultra"])
def test_the_fewest_chips(name: str) -> None:
    """One fewer does not do, whatever its degrees."""
    shape, memory = describe_model(name), 127 * GB
    ranks = least(shape, 8192, memory)
    assert ranks is not None
    assert not fit(shape, ranks, 8192, memory).problems
    chips = ranks.tensor * ranks.pipeline - 1
    for tensor in range(1, chips + 1):
        degrees = Ranks(tensor, chips // tensor)
        if chips % tensor == 0 and not problems(shape, degrees):
            assert fit(shape, degrees, 8192, memory).problems
    assert least(shape, 8192, GB, most=16) is None
