"""Small fp8 folders, as publishers write them, and the same weights dequantised by hand."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from configs.checkpoint_files import INDEX_FILE, SINGLE_FILE
from configs.families import load_model
from tests.workers.model.models import random_weights, write_config
from workers.model.tensors import projection_of

BLOCK = 16  # of the small models here; their widths are no multiples of it
QUANTIZATION = {
    "activation_scheme": "dynamic",
    "fmt": "e4m3",
    "quant_method": "fp8",
    "weight_block_size": [BLOCK, BLOCK],
}
Tensors = dict[str, torch.Tensor]


def quantise(weight: np.ndarray, rows: int, columns: int) -> tuple[torch.Tensor, torch.Tensor]:
    """e4m3 and a scale for each block, which brings its largest number to 448."""
    tall, wide = weight.shape
    grid = (-(-tall // rows), -(-wide // columns))
    scales, codes = torch.zeros(grid), torch.zeros(tall, wide, dtype=torch.float8_e4m3fn)
    values = torch.from_numpy(weight)
    for i in range(grid[0]):
        for j in range(grid[1]):
            where = slice(i * rows, (i + 1) * rows), slice(j * columns, (j + 1) * columns)
            scales[i, j] = values[where].abs().max() / 448
            codes[where] = (values[where] / scales[i, j]).to(torch.float8_e4m3fn)
    return codes, scales


def by_hand(codes: torch.Tensor, scales: torch.Tensor, rows: int, columns: int) -> np.ndarray:
    """Each number times its block's scale, one by one, by torch's own meaning of a byte."""
    wide = scales.repeat_interleave(rows, 0).repeat_interleave(columns, 1)
    product = codes.float() * wide[: codes.shape[0], : codes.shape[1]]
    return product.numpy()


def write_fp8(
    folder: Path, plain: Path, sizes: Mapping[str, Any], *, shards: bool = False, **changes: Any
) -> Path:
    """A random model in blocks of fp8 in `folder`, and in `plain` the same numbers in fp32."""
    write_config(plain, sizes, **changes)
    write_config(folder, sizes, quantization_config=QUANTIZATION, **changes)
    tensors: Tensors = {}
    wide: Tensors = {}
    for name, weight in random_weights(load_model(plain), 3).items():
        if projection_of(name) is None:
            tensors[name] = wide[name] = torch.from_numpy(weight)
            continue
        codes, scales = quantise(weight, BLOCK, BLOCK)
        tensors[name], tensors[name + "_scale_inv"] = codes, scales
        wide[name] = torch.from_numpy(by_hand(codes, scales, BLOCK, BLOCK))
    save_file(wide, plain / SINGLE_FILE)
    write_tensors(folder, tensors, shards=shards)
    return folder


def write_tensors(folder: Path, tensors: Tensors, *, shards: bool = False) -> None:
    """In one file, or in two with an index: then a weight and its scales may be apart."""
    if not shards:
        save_file(tensors, folder / SINGLE_FILE)
        return
    parts: tuple[Tensors, Tensors] = ({}, {})
    for number, (name, tensor) in enumerate(tensors.items()):
        parts[number % 2][name] = tensor
    files = {}
    for number, part in enumerate(parts):
        file = f"model-{number + 1:05}-of-00002.safetensors"
        save_file(part, folder / file)
        files |= dict.fromkeys(part, file)
    (folder / INDEX_FILE).write_text(json.dumps({"weight_map": files}), encoding="utf-8")
