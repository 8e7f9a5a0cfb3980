"""Shipped descriptions against what is published of them, each figure to all of its digits."""

import pytest

from configs.families import FAMILIES, load_model
from configs.model_presets import Published, model_names, model_preset
from configs.shapes.counts import count_of
from configs.shapes.describe import describe_model

# Parameters, total and active, in billions, and KV bytes a token in bf16, as reviews of the
# published configurations have them. Active counts the embedding, but in OpenAI's own counts.
REVIEWED = {
    "deepseek-v3": ("671.0", "37.6", 70_272),
    "deepseek-r1": ("671.0", "37.6", 70_272),
    "kimi-k2": ("1026", "32.9", 70_272),
    "mixtral-8x7b": ("46.7", "12.9", 131_072),
    "qwen3-30b-a3b": ("30.5", "3.35", 98_304),
    "qwen3-235b-a22b": ("235.1", "22.2", 192_512),
    "olmoe-1b-7b": ("6.92", "1.28", 131_072),
    "gpt-oss-20b": ("20.9", "3.6", 49_152),
    "gpt-oss-120b": ("116.8", "5.1", 73_728),
    # 405.853, of which the review has cut the last digits.
    "llama-3.1-405b": ("405.8", None, 516_096),
    "llama-3.1-70b": ("70.55", None, 327_680),
}
# DeepSeek, ISCA 2025 (arXiv 2505.09343), table 1.
KB_A_TOKEN = {"deepseek-v3": "70.272", "qwen2.5-72b": "327.680", "llama-3.1-405b": "516.096"}


@pytest.mark.parametrize("name", REVIEWED)
def test_reviewed_figures(name: str) -> None:
    total, active, kv_bytes = REVIEWED[name]
    shape = describe_model(name)
    counted = "active" if name.startswith("gpt-oss") else "active_with_embedding"
    how = "cut" if name == "llama-3.1-405b" else "rounded"
    assert Published("parameters", total, "").agrees(shape.parameters) == how
    if active is not None:
        assert Published(counted, active, "").agrees(count_of(shape, counted)) == "rounded"
    assert shape.kv_bytes_per_token() == kv_bytes


@pytest.mark.parametrize("name", KB_A_TOKEN)
def test_isca_2025_table_1(name: str) -> None:
    assert f"{describe_model(name).kv_bytes_per_token() / 1000:.3f}" == KB_A_TOKEN[name]


@pytest.mark.parametrize("name", model_names())
def test_publishers_own_figures(name: str) -> None:
    shape = describe_model(name)
    for figure in model_preset(name).published:
        assert figure.agrees(count_of(shape, figure.count)), figure


@pytest.mark.parametrize("name", model_names())
def test_every_key_of_a_description_is_needed(name: str) -> None:
    """None speaks of nothing; what families that are computed need more is read by them."""
    notes = describe_model(name).notes
    assert not [note for note in notes if note.startswith("not read")]


def test_descriptions_of_computed_families_are_computed() -> None:
    """Kimi-K2.5 has experts of 4 bits, which are not."""
    computed = [
        name
        for name in model_names()
        if model_preset(name).config["architectures"][0] in FAMILIES and name != "kimi-k2.5"
    ]
    assert computed == [
        "deepseek-r1", "deepseek-v2-lite", "deepseek-v3", "kimi-k2",
        "qwen3-235b-a22b", "qwen3-30b-a3b", "qwen3-coder-480b-a35b",
    ]  # fmt: skip
    for name in computed:
        assert load_model(name).total_bytes(1) == describe_model(name).parameters


def test_a_figure_agrees_to_all_of_its_digits() -> None:
    def agrees(value: str, found: int) -> str | None:
        return Published("parameters", value, "").agrees(found)

    assert agrees("671.0", 671_026_419_200) == "rounded"
    assert agrees("671.1", 671_026_419_200) is None
    assert agrees("405.8", 405_853_388_800) == "cut"
    assert agrees("405.9", 405_853_388_800) == "rounded"
    assert agrees("1E+3", 1_026_408_232_448) == "rounded"
    assert agrees("2.3E+2", 228_689_764_864) == "rounded"
    assert Published("kv_bytes_per_token", "70272", "").agrees(70_273) is None
