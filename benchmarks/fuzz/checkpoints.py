"""The files of a model's folder: the first byte names which of them is another one.

0  the tensors of a safetensors file   1  its index   2  config.json
3  tokenizer.json                      4  the chat template
"""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from benchmarks.fuzz.target import Target, chosen, one_file
from cluster.text.tokenizer import Tokenizer
from configs.checkpoint_files import INDEX_FILE, SINGLE_FILE, CheckpointError
from configs.families import load_model
from configs.presets import model_folder
from workers.errors import InvalidRequest
from workers.model.checkpoint import Checkpoint
from workers.model.header import read_header
from workers.model.tensors import tensor_shapes

TENSORS_MAX = 1_000
TEMPLATE = (
    b"{% for m in messages %}{{ m.content | tojson }}{% endfor %}{% macro f() %}{% endmacro %}"
)
OTHER = "other.safetensors"
MESSAGES: tuple[Mapping[str, Any], ...] = ({"role": "user", "content": "x"},)


@cache
def _tiny(name: str) -> bytes:
    return (Path(model_folder("perfuse-tiny")) / name).read_bytes()


@cache
def _tensors() -> bytes:
    return save({"a.weight": np.zeros((2, 3), np.float32), "b": np.zeros(4, np.float16)})


def _weights(data: bytes) -> None:
    path = one_file(SINGLE_FILE)(data)
    with Checkpoint(path.parent) as checkpoint:
        for name, entry in read_header(path).entries.items():
            assert checkpoint.read(name, entry.shape).shape == entry.shape


def _index(data: bytes) -> None:
    path = one_file(INDEX_FILE)(data)
    path.with_name(OTHER).write_bytes(_tensors())
    with Checkpoint(path.parent) as checkpoint:
        for name in checkpoint.names():
            checkpoint.read(name, (2, 3))


def _config(data: bytes) -> None:
    path = one_file("config.json")(data)
    for _ in islice(tensor_shapes(load_model(path.parent)), TENSORS_MAX):
        pass


def _tokenizer(data: bytes) -> None:
    path = one_file("tokenizer.json")(data)
    tokenizer = Tokenizer.load(path.parent)
    tokenizer.decode(tokenizer.encode("Grüße, 12 ab\n"))


def _template(data: bytes) -> None:
    path = one_file("chat_template.jinja")(data)
    path.with_name("tokenizer.json").write_bytes(_tiny("tokenizer.json"))
    Tokenizer.load(path.parent).render_chat(MESSAGES)


FILES: tuple[Callable[[bytes], None], ...] = (_weights, _index, _config, _tokenizer, _template)


def _read(data: bytes) -> None:
    which, said = chosen(data, len(FILES))
    FILES[which](said)


def _small_tokenizer() -> bytes:
    whole = json.loads(_tiny("tokenizer.json"))
    whole["model"]["vocab"] = dict(list(whole["model"]["vocab"].items())[:20])
    whole["model"]["merges"] = []
    return json.dumps(whole).encode()


def _seeds() -> Sequence[bytes]:
    index = {"metadata": {}, "weight_map": {"a.weight": OTHER}}
    return [
        b"\0" + _tensors(),
        b"\1" + json.dumps(index).encode(),
        b"\2" + _tiny("config.json"),
        b"\3" + _small_tokenizer(),
        b"\4" + _tiny("chat_template.jinja"),
        b"\4" + TEMPLATE,
    ]


TARGET = Target(
    "a model's folder: tensors, index, config, tokenizer, chat template",
    _read,
    (CheckpointError, InvalidRequest),
    _seeds,
    ["dtype", "shape", "data_offsets", "F32", "BF16", "__metadata__", "weight_map", "num_experts",
     "rope_scaling", "quantization_config", "architectures", "layer_types", "added_tokens",
     "normalizer", "pre_tokenizer", "ByteLevel", "Sequence", "{% for ", "{{ ", " | ", "range(",
     "namespace(", "recursive", "null", "1e999"],
)  # fmt: skip
