"""A checkpoint's files are open while it is read, and no longer."""

from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from configs.checkpoint_files import SINGLE_FILE
from workers.model.checkpoint import Checkpoint
from workers.model.plain.chip_model import PlainChipModel


def test_what_was_opened_is_closed_at_the_end(tmp_path: Path) -> None:
    save_file({"x": np.arange(6, dtype=np.float32)}, tmp_path / SINGLE_FILE)
    with Checkpoint(tmp_path) as checkpoint:
        checkpoint.read("x", (6,))
        assert list(checkpoint._open) == [SINGLE_FILE]
    assert not checkpoint._open
    checkpoint.close()


def test_a_block_may_have_one_token(tiny_model_folder: Path) -> None:
    """The least that there is."""
    model = PlainChipModel(tiny_model_folder, 1, 1)
    assert (model.num_blocks, model.block_size) == (1, 1)
