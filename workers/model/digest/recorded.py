"""A recorded run's routing, as a file: which experts each token of it chose.

8 bytes   "pfroute1"
4 x u32   experts, K experts a token, sparse layers, tokens       little endian, as all of it
u16       experts [tokens, sparse layers, K]
"""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from configs.checkpoint_files import CheckpointError
from configs.model_config import ModelConfig
from configs.outside import Unreadable, read_file

MAGIC = b"pfroute1"
TOKENS_MAX = 1 << 22
BYTES_MAX = 1 << 30
_HEAD = np.dtype("<u4")
_EXPERT = np.dtype("<u2")


@dataclass(frozen=True, slots=True, eq=False)
class RecordedRouting:
    """table   experts [tokens, sparse layers, K] int32"""

    path: str
    num_experts: int
    table: NDArray[np.int32]

    def fitting(self, model: ModelConfig) -> NDArray[np.int32]:
        """The table, for this model. Raises CheckpointError where its sizes are others."""
        _, layers, top_k = self.table.shape
        for what, here, wanted in (
            ("experts", self.num_experts, model.num_experts),
            ("experts a token", top_k, model.top_k),
            ("layers with experts", layers, model.num_sparse_layers),
        ):
            if here != wanted:
                raise CheckpointError(
                    f"model.routing.replay: {self.path} was recorded of a model with {here} "
                    f"{what}, and this one has {wanted}: record a run of it, or choose another "
                    "routing"
                )
        return self.table


def write_routing(path: str | Path, num_experts: int, table: NDArray[np.int32]) -> int:
    """Readers see the old file or the new one, never a part; returns how many tokens are in it.
    Raises OSError.
    """
    path = Path(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    tokens, layers, top_k = table.shape
    head = np.array([num_experts, top_k, layers, tokens], dtype=_HEAD)
    try:
        partial.write_bytes(MAGIC + head.tobytes() + table.astype(_EXPERT).tobytes())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return int(tokens)


def read_routing(path: str | Path) -> RecordedRouting:
    """Raises CheckpointError on what is no such file."""
    path = Path(path).expanduser()
    try:
        data = read_file(path, BYTES_MAX)
    except FileNotFoundError as error:
        raise _broken(path, f"cannot be read: {error.strerror}") from error
    except Unreadable as error:
        raise CheckpointError(f"model.routing.replay: {error}") from error
    begin = len(MAGIC) + 4 * _HEAD.itemsize
    if data[: len(MAGIC)] != MAGIC or len(data) < begin:
        raise _broken(path, "is no file of `perfuse run --record-routing`")
    head = np.frombuffer(data, _HEAD, 4, len(MAGIC))
    num_experts, top_k, layers, tokens = (int(number) for number in head)
    wanted = begin + tokens * layers * top_k * _EXPERT.itemsize
    if not (tokens and layers and top_k) or len(data) != wanted:
        raise _broken(path, f"has {len(data):,} bytes, and its head asks for {wanted:,}")
    table = np.frombuffer(data, _EXPERT, -1, begin).reshape(tokens, layers, top_k).astype(np.int32)
    if table.max() >= num_experts or _repeats(table):
        raise _broken(path, "names an expert that is not there, or one twice for a token")
    return RecordedRouting(str(path), num_experts, table)


def _repeats(table: NDArray[np.int32]) -> bool:
    ordered = np.sort(table, axis=2)
    return bool((ordered[:, :, 1:] == ordered[:, :, :-1]).any())


def _broken(path: Path, why: str) -> CheckpointError:
    return CheckpointError(f"model.routing.replay: {path} {why}")
