"""A tensor has as many bytes as its shape and dtype ask for, neither less nor more."""

import json
from pathlib import Path

import pytest

from configs.checkpoint_files import SINGLE_FILE, CheckpointError
from workers.model.checkpoint import Checkpoint


@pytest.mark.parametrize("dtype", ["F32", "BF16"])
@pytest.mark.parametrize("too_many", [-4, 4])
def test_a_tensor_with_other_bytes_than_its_shape_is_refused(
    tmp_path: Path, dtype: str, too_many: int
) -> None:
    """Six numbers of 4 or 2 bytes; the next tensor has what they lack, or lacks what they have."""
    right = 6 * (4 if dtype == "F32" else 2)
    header = {
        "x": {"dtype": dtype, "shape": [6], "data_offsets": [0, right + too_many]},
        "y": {"dtype": dtype, "shape": [6], "data_offsets": [right + too_many, 2 * right]},
    }
    written = json.dumps(header).encode()
    written += b" " * (-len(written) % 8)
    path = tmp_path / SINGLE_FILE
    path.write_bytes(len(written).to_bytes(8, "little") + written + bytes(2 * right))
    for name in ("x", "y"):
        with pytest.raises(CheckpointError, match=SINGLE_FILE), Checkpoint(tmp_path) as checkpoint:
            checkpoint.check(name, (6,))
