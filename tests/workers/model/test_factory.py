"""What a model is opened with when nobody says otherwise."""

from pathlib import Path

from workers.model.factory import open_chip, open_whole


def test_blocks_have_16_tokens_by_default(tiny_model_folder: Path) -> None:
    """As a scenario's `model.block_size` does."""
    assert open_chip(tiny_model_folder, 2).block_size == 16
    whole, _ = open_whole(tiny_model_folder, 2)
    assert whole.block_size == 16
