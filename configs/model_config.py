"""What a model is: the config.json of a Hugging Face folder, checked before anything is started.

One architecture is known: Qwen3-MoE (every layer sparse, grouped-query attention with normed
queries and keys). A configuration that asks for more than we compute is refused here, with its key;
nothing is ignored in silence that would change a token.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ARCHITECTURES = ("Qwen3MoeForCausalLM",)


class CheckpointError(ValueError):
    """A model folder cannot be used; says the file, the key and what would be right."""


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """Sizes and constants of one Qwen3-MoE model. Immutable; `load` reads it from a folder.

    architecture      class name in config.json ("Qwen3MoeForCausalLM")
    dtype             of the weights as stored ("float32", "bfloat16", "float16")
    hidden            width of the residual stream        num_layers    decoder layers, all sparse
    num_heads         query heads                         num_kv_heads  key/value heads, a divisor
    head_dim          width of a head (even)              vocab         rows of the embedding
    num_experts       experts of a layer                  top_k         experts that a token visits
    moe_intermediate  inner width of an expert            max_context   positions, prompt and answer
    norm_topk_prob    the chosen experts' probabilities are scaled to sum to one
    tie_embeddings    the vocabulary projection is the embedding
    eos_token_ids     any of these ends an answer; may be empty
    """

    architecture: str
    dtype: str
    hidden: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    num_experts: int
    top_k: int
    moe_intermediate: int
    vocab: int
    rope_theta: float
    rms_eps: float
    norm_topk_prob: bool
    tie_embeddings: bool
    max_context: int
    eos_token_ids: tuple[int, ...] = ()

    @classmethod
    def load(cls, folder: str | Path) -> "ModelConfig":
        """Read config.json (and generation_config.json where there is one).

        Raises CheckpointError on a missing or malformed file, an unknown architecture, a feature
        that is not computed, or sizes that fit no model.
        """
        path = Path(folder) / "config.json"
        return _Reader(path, read_json(path)).config()

    # Byte counts: pure arithmetic for placement, capacity checks and declared work.

    @property
    def query_width(self) -> int:
        return self.num_heads * self.head_dim

    @property
    def kv_width(self) -> int:
        return self.num_kv_heads * self.head_dim

    def kv_bytes_per_token(self, dtype_bytes: int) -> int:
        """Keys and values of one token in all layers."""
        return self.num_layers * 2 * self.kv_width * dtype_bytes

    def expert_bytes(self, dtype_bytes: int) -> int:
        """Gate, up and down projection of one expert of one layer."""
        return 3 * self.hidden * self.moe_intermediate * dtype_bytes

    def attention_bytes(self, dtype_bytes: int) -> int:
        """What a chip reads for one layer: four projections, the norms and the router's gate."""
        projections = 2 * self.hidden * (self.query_width + self.kv_width)
        norms = 2 * self.hidden + 2 * self.head_dim
        return (projections + norms + self.num_experts * self.hidden) * dtype_bytes

    def head_bytes(self, dtype_bytes: int) -> int:
        """The vocabulary projection (whether or not it is the embedding)."""
        return self.vocab * self.hidden * dtype_bytes

    def chip_bytes(self, dtype_bytes: int) -> int:
        """All that a chip owns: the layers without experts, embedding, final norm and head."""
        matrices = 1 if self.tie_embeddings else 2
        layers = self.num_layers * self.attention_bytes(dtype_bytes)
        return layers + matrices * self.head_bytes(dtype_bytes) + self.hidden * dtype_bytes

    def total_bytes(self, dtype_bytes: int) -> int:
        """All weights: chip and every expert of every layer."""
        experts = self.num_layers * self.num_experts * self.expert_bytes(dtype_bytes)
        return self.chip_bytes(dtype_bytes) + experts


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file; raises CheckpointError where that cannot be had."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        where = "the folder does not exist" if not path.parent.is_dir() else "the file is missing"
        raise CheckpointError(
            f"{path}: {where}; a Hugging Face model folder with {path.name} is needed"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path}: cannot be read as UTF-8 text: {error}") from error
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise CheckpointError(f"{path}: invalid JSON: {error}") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path}: holds a {type(value).__name__}; it must be a JSON object")
    return value


class _Reader:
    """Takes keys out of one config.json, each checked, and says which one was wrong."""

    def __init__(self, path: Path, values: dict[str, Any]) -> None:
        self.path = path
        self.values = values

    def config(self) -> ModelConfig:
        architecture = self._architecture()
        self._refuse_what_is_not_computed()
        hidden, num_heads = self._count("hidden_size"), self._count("num_attention_heads")
        head_dim = self._head_dim(hidden, num_heads)
        config = ModelConfig(
            architecture=architecture,
            dtype=self._dtype(),
            hidden=hidden,
            num_layers=self._count("num_hidden_layers"),
            num_heads=num_heads,
            num_kv_heads=self._count("num_key_value_heads"),
            head_dim=head_dim,
            # Newer writers of the format call the experts "local".
            num_experts=self._count("num_experts", "num_local_experts"),
            top_k=self._count("num_experts_per_tok"),
            moe_intermediate=self._count("moe_intermediate_size"),
            vocab=self._count("vocab_size"),
            rope_theta=self._rope_theta(),
            rms_eps=self._number("rms_norm_eps", 1e-6),
            norm_topk_prob=self._flag("norm_topk_prob"),
            tie_embeddings=self._flag("tie_word_embeddings"),
            max_context=self._count("max_position_embeddings"),
            eos_token_ids=self._eos_token_ids(),
        )
        self._check_sizes(config)
        return config

    def _error(self, key: str, found: object, right: str) -> CheckpointError:
        return CheckpointError(f"{self.path}: {key} is {found!r}; {right}")

    def _architecture(self) -> str:
        found = self.values.get("architectures")
        known = f"known architectures: {', '.join(ARCHITECTURES)}"
        if not isinstance(found, list) or len(found) != 1 or found[0] not in ARCHITECTURES:
            raise self._error("architectures", found, known)
        return str(found[0])

    def _refuse_what_is_not_computed(self) -> None:
        """Features of the format that would change the tokens and that we do not compute."""
        values = self.values
        if values.get("attention_bias"):
            raise self._error("attention_bias", values["attention_bias"], "it must be false")
        # Qwen's files carry a window's size beside use_sliding_window = false: then it is not used.
        window = values.get("sliding_window")
        if window is not None and values.get("use_sliding_window", True):
            raise self._error("sliding_window", window, "it must be null: attention is full")
        if values.get("mlp_only_layers"):
            right = "it must be empty: every layer must be sparse (a mixture of experts)"
            raise self._error("mlp_only_layers", values["mlp_only_layers"], right)
        if values.get("decoder_sparse_step", 1) != 1:
            right = "it must be 1: every layer must be sparse (a mixture of experts)"
            raise self._error("decoder_sparse_step", values["decoder_sparse_step"], right)
        if values.get("rope_scaling") is not None:
            right = "it must be null: rotary positions are not scaled"
            raise self._error("rope_scaling", values["rope_scaling"], right)
        if values.get("hidden_act", "silu") != "silu":
            raise self._error("hidden_act", values["hidden_act"], 'it must be "silu"')
        if values.get("quantization_config") is not None:
            right = "it must be absent: weights are read as float32, bfloat16 or float16"
            raise self._error("quantization_config", values["quantization_config"], right)

    def _count(self, *names: str) -> int:
        """A whole number of at least one, under the first of the names that is there."""
        name = next((n for n in names if n in self.values), names[0])
        if name not in self.values:
            raise CheckpointError(f"{self.path}: {name} is missing; it must be a whole number >= 1")
        value = self.values[name]
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise self._error(name, value, "it must be a whole number >= 1")
        return value

    def _number(self, name: str, default: float) -> float:
        return self._positive(name, self.values.get(name, default))

    def _positive(self, name: str, value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
            raise self._error(name, value, "it must be a number above 0")
        return float(value)

    def _flag(self, name: str) -> bool:
        value = self.values.get(name, False)
        if not isinstance(value, bool):
            raise self._error(name, value, "it must be true or false")
        return value

    def _head_dim(self, hidden: int, num_heads: int) -> int:
        if self.values.get("head_dim") is not None:
            return self._count("head_dim")
        if hidden % num_heads:
            right = f"without it hidden_size {hidden} must be a multiple of {num_heads} heads"
            raise self._error("head_dim", None, right)
        return hidden // num_heads

    def _dtype(self) -> str:
        name = "dtype" if "dtype" in self.values else "torch_dtype"
        value = self.values.get(name, "float32")
        if value not in ("float32", "bfloat16", "float16"):
            raise self._error(name, value, "it must be float32, bfloat16 or float16")
        return str(value)

    def _rope_theta(self) -> float:
        """The base of the rotary angles: a key of its own, or inside rope_parameters."""
        parameters = self.values.get("rope_parameters")
        if parameters is None:
            return self._number("rope_theta", 10_000.0)
        if not isinstance(parameters, dict):
            raise self._error("rope_parameters", parameters, "it must be an object or null")
        kind = parameters.get("rope_type", "default")
        if kind != "default":
            right = 'it must be "default": rotary positions are not scaled'
            raise self._error("rope_parameters.rope_type", kind, right)
        return self._positive("rope_parameters.rope_theta", parameters.get("rope_theta", 10_000.0))

    def _eos_token_ids(self) -> tuple[int, ...]:
        """From generation_config.json where it says so, else from config.json."""
        path, values = self.path, self.values
        generation = self.path.with_name("generation_config.json")
        if generation.is_file():
            theirs = read_json(generation)
            if theirs.get("eos_token_id") is not None:
                path, values = generation, theirs
        found = values.get("eos_token_id")
        ids = [] if found is None else found if isinstance(found, list) else [found]
        vocab = self._count("vocab_size")
        for one in ids:
            if isinstance(one, bool) or not isinstance(one, int) or not 0 <= one < vocab:
                right = f"it must hold token ids from 0 to {vocab - 1}"
                raise CheckpointError(f"{path}: eos_token_id is {found!r}; {right}")
        return tuple(dict.fromkeys(ids))

    def _check_sizes(self, config: ModelConfig) -> None:
        if config.num_heads % config.num_kv_heads:
            right = f"it must divide num_attention_heads, {config.num_heads}"
            raise self._error("num_key_value_heads", config.num_kv_heads, right)
        if config.head_dim % 2:
            right = "it must be even: rotary positions turn pairs"
            raise self._error("head_dim", config.head_dim, right)
        if config.top_k > config.num_experts:
            right = f"it must be at most the number of experts, {config.num_experts}"
            raise self._error("num_experts_per_tok", config.top_k, right)
