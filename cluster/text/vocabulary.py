"""A model's tokens as grammars see them, once a process: chips, and the reference beside them."""

from functools import lru_cache
from pathlib import Path

from cluster.text.tokenizer import open_tokenizer
from configs.families import load_model
from configs.model_config import ModelConfig
from workers.model.grammar import Grammars, Vocabulary

# Tests and benchmarks open one model after the other; a cluster has one.
MODELS_MAX = 4


@lru_cache(MODELS_MAX)
def open_grammars(folder: Path) -> Grammars:
    """Nothing is read before the first constraint comes."""
    return Grammars(lambda: _vocabulary(folder, load_model(folder)))


def _vocabulary(folder: Path, model: ModelConfig) -> Vocabulary:
    tokenizer = open_tokenizer(folder, model.vocab)
    return Vocabulary(
        tuple(tokenizer.token_bytes(token) for token in range(model.vocab)),
        tokenizer.special_ids,
        model.eos_token_ids,
    )
