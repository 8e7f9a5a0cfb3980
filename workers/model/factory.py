"""Which code computes a model: the kernels wherever they can, else the plain arrays of
`workers/model/plain`.

All chips and shards of a cluster, and the reference beside it, come from here with the same folder,
block size and precision: so they are of one kind, and equal bits are a matter of course.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from configs.families import load_model
from configs.model_config import ModelConfig
from configs.parts import Part
from configs.precision import EXACT, Precision, kernels_hindrance
from kernels.native import lib
from workers.model.base import ChipModel, ExpertModel, LaunchModel, RankModel
from workers.model.local import LocalStep, local_step
from workers.model.work import WorkModel

if TYPE_CHECKING:
    from workers.model.native.composed_chip import ComposedChip


class UnfitPrecision(ValueError):
    """No code here computes this model in these numbers; says why, and what would be right."""


def open_chip(
    folder: str | Path,
    num_blocks: int,
    block_size: int = 16,
    precision: Precision = EXACT,
    work: WorkModel | None = None,
) -> LaunchModel:
    """A chip's part. Raises CheckpointError where the folder does not fit, UnfitPrecision."""
    config = load_model(folder)
    if _on_kernels(config, block_size, precision):
        if config.mla is not None:
            from workers.model.native.latent_chip_model import LatentChipModel

            return LatentChipModel(folder, num_blocks, block_size, work, precision)
        from workers.model.native.chip_model import NativeChipModel

        return NativeChipModel(folder, num_blocks, block_size, work, precision)
    from workers.model.plain.chip_model import PlainChipModel

    return PlainChipModel(folder, num_blocks, block_size, work)


def open_rank(
    folder: str | Path,
    part: Part,
    num_blocks: int,
    block_size: int = 16,
    work: WorkModel | None = None,
) -> RankModel:
    """Some layers and heads of a chip's part, in exact mode; with all of them, the chip's, of the
    same kind and to the same bits. Raises CheckpointError where the folder does not fit.
    """
    from workers.model.plain.chip_model import PlainChipModel
    from workers.model.plain.rank import PlainRank

    if part.heads is None:
        return PlainChipModel(folder, num_blocks, block_size, work, part)
    return PlainRank(folder, part, num_blocks, block_size, work)


def open_apart(
    folder: str | Path,
    num_blocks: int,
    block_size: int = 16,
    precision: Precision = EXACT,
    work: WorkModel | None = None,
) -> "ComposedChip[Any]":
    """A chip's part of a model whose keys may be elsewhere. Raises as `open_chip` does."""
    config = load_model(folder)
    if hindrance := kernels_hindrance(config, block_size):
        raise UnfitPrecision(f"placement.kv_near: is given, and {hindrance}")
    if config.mla is not None:
        from workers.model.native.latent_chip_model import LatentChipModel

        return LatentChipModel(folder, num_blocks, block_size, work, precision)
    from workers.model.native.grouped_chip_model import GroupedChipModel

    return GroupedChipModel(folder, num_blocks, block_size, work, precision)


def open_experts(
    folder: str | Path,
    expert_ids: tuple[int, ...],
    precision: Precision = EXACT,
    work: WorkModel | None = None,
) -> ExpertModel:
    """Some experts of every sparse layer. Raises CheckpointError where the folder does not fit."""
    if lib is not None or not precision.exact:
        from workers.model.native.expert_model import NativeExpertModel

        return NativeExpertModel(folder, expert_ids, work, precision)
    from workers.model.plain.expert_model import PlainExpertModel

    return PlainExpertModel(folder, expert_ids, work)


def open_whole(
    folder: str | Path,
    num_blocks: int,
    block_size: int = 16,
    precision: Precision = EXACT,
    work: WorkModel | None = None,
) -> tuple[ChipModel, LocalStep]:
    """A chip's part, and a step of it with all experts as one call. Raises as `open_chip` does."""
    config = load_model(folder)
    all_ids = tuple(range(config.num_experts))
    if config.mla is None and _on_kernels(config, block_size, precision):
        from workers.model.native.chip_model import NativeChipModel
        from workers.model.native.expert_model import NativeExpertModel

        experts = NativeExpertModel(folder, all_ids, work, precision)
        whole = NativeChipModel(folder, num_blocks, block_size, work, precision, experts)
        return whole, whole.step
    chip = open_chip(folder, num_blocks, block_size, precision, work)
    return chip, local_step(chip, open_experts(folder, all_ids, precision, work))


def _on_kernels(config: ModelConfig, block_size: int, precision: Precision) -> bool:
    """Whether a chip runs on the kernels. Without the library they are references in numpy: slower
    in fp32 than `torch/`, but all there is for other numbers.
    """
    hindrance = kernels_hindrance(config, block_size)
    if precision.exact:
        return lib is not None and hindrance is None
    if hindrance is not None:
        raise UnfitPrecision(f"model.dtype: {precision} is asked for, and {hindrance}")
    return True
