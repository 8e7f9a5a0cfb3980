"""The checkpoint as a GGUF file for llama.cpp: same bits, other names. Runs in llama.cpp's venv.

    build/peers/llama/bin/python -P benchmarks/peers/write_gguf.py MODEL_FOLDER FILE

Names, keys and which tensors are fp32 (norms and the router's gate) follow llama.cpp's own
convert_hf_to_gguf.py for Qwen3MoeForCausalLM. There is no tokenizer: prompts are token ids.
Imports nothing of ours: that environment does not have it.
"""

import json
import sys
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray

ARCH = gguf.MODEL_ARCH.QWEN3MOE
EXPERT_PARTS = ("gate_proj", "up_proj", "down_proj")


class Bf16Folder:
    """Tensors of a safetensors folder as raw bf16 words; numpy has no bf16 of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        index = json.loads((folder / "model.safetensors.index.json").read_text(encoding="utf-8"))
        self.file_by_name: dict[str, str] = index["weight_map"]
        self._files: dict[str, tuple[dict[str, Any], NDArray[np.uint8]]] = {}

    def words(self, name: str) -> NDArray[np.uint16]:
        """One tensor, uint16 bit patterns in its shape."""
        file = self.file_by_name[name]
        if file not in self._files:
            data = np.memmap(self.folder / file, dtype=np.uint8, mode="r")
            length = int.from_bytes(data[:8].tobytes(), "little")
            self._files[file] = json.loads(data[8 : 8 + length].tobytes()), data[8 + length :]
        header, body = self._files[file]
        entry = header[name]
        if entry["dtype"] != "BF16":
            raise ValueError(f"{file}: tensor {name} has dtype {entry['dtype']}; it must be BF16")
        begin, end = entry["data_offsets"]
        return body[begin:end].view(np.uint16).reshape(entry["shape"])


def fp32(words: NDArray[np.uint16]) -> NDArray[np.float32]:
    return np.left_shift(words.astype(np.uint32), 16).view(np.float32)


def add_parameters(writer: gguf.GGUFWriter, config: dict[str, Any]) -> None:
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_key_length(config["head_dim"])
    writer.add_value_length(config["head_dim"])
    writer.add_rope_freq_base(config["rope_theta"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_expert_count(config["num_experts"])
    writer.add_expert_used_count(config["num_experts_per_tok"])
    writer.add_expert_feed_forward_length(config["moe_intermediate_size"])
    writer.add_vocab_size(config["vocab_size"])
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_BF16)
    writer.add_tokenizer_model("none")


def write(folder: Path, path: Path) -> None:
    """Write the file; an unfinished one has another name."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    source = Bf16Folder(folder)
    layers, experts = config["num_hidden_layers"], config["num_experts"]
    names = gguf.get_tensor_name_map(ARCH, layers)
    partial = path.with_suffix(".partial")
    writer = gguf.GGUFWriter(partial, gguf.MODEL_ARCH_NAMES[ARCH])
    add_parameters(writer, config)

    def add(theirs: str, words: NDArray[np.uint16]) -> None:
        name = names.get_name(theirs, try_suffixes=(".weight",))
        if name is None:
            raise ValueError(f"gguf {ARCH.name} has no name for tensor {theirs}")
        if words.ndim == 1 or theirs.endswith("mlp.gate.weight"):
            writer.add_tensor(name, fp32(words))
            return
        raw = np.ascontiguousarray(words).view(np.uint8)
        writer.add_tensor(name, raw, raw_dtype=gguf.GGMLQuantizationType.BF16)

    for name in source.file_by_name:
        if ".experts." not in name:
            add(name, source.words(name))
    for layer in range(layers):
        prefix = f"model.layers.{layer}.mlp.experts"
        for part in EXPERT_PARTS:
            parts = [source.words(f"{prefix}.{e}.{part}.weight") for e in range(experts)]
            add(f"{prefix}.{part}.weight", np.stack(parts))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file(progress=False)
    writer.close()
    partial.replace(path)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(f"usage: {sys.argv[0]} MODEL_FOLDER FILE")
    write(Path(sys.argv[1]), Path(sys.argv[2]))
