"""Which projections a quantised folder keeps wide, by the lists that its writers use.

    lm_head                      a module, and all inside it
    model.layers.0.self_attn
    gate                         a part of a module's name
    *self_attn*                  ModelOpt's
    re:.*mlp.gate$               compressed-tensors'

What concerns only norms, gates, embeddings or the vocabulary projection says nothing new: they are
never quantised here.
"""

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase

from configs.model_config import ModelConfig

_LENGTH_MAX, _PATTERNS_MAX = 256, 256
# No group is repeated and few parts are: such a pattern cannot take long with any name.
_QUANTIFIED_MAX = 4
_TAME = re.compile(r"[\w.\\^$*+?|()-]*")


class UnclearSkip(ValueError):
    """A list that cannot be followed; says the entry and why."""


def skipped(config: ModelConfig, entries: Iterable[str]) -> frozenset[str]:
    """Names of projections in a layer, as `ModelConfig.layer_matrices` has them, that the entries
    keep wide. Raises UnclearSkip where that depends on layer or expert.
    """
    literals = {entry for entry in entries if not is_pattern(entry)}
    patterns = [compiled(entry) for entry in entries if is_pattern(entry)]
    if len(patterns) > _PATTERNS_MAX:
        raise UnclearSkip(f"has {len(patterns)} patterns; at most {_PATTERNS_MAX} are read")
    for entry in literals:
        if re.search(r"\bexperts\.\d", entry):
            raise UnclearSkip(f"names {entry}; experts must be alike")
    found: dict[str, bool] = {}
    for layer in range(config.num_layers):
        for name, module in _modules(config, layer):
            wide = any(part in literals for part in parts(module)) or any(
                pattern.fullmatch(module) for pattern in patterns
            )
            if found.setdefault(name, wide) != wide:
                raise UnclearSkip(f"concerns {name} in some layers only; layers must be alike")
    return frozenset(name for name, wide in found.items() if wide)


def _modules(config: ModelConfig, layer: int) -> list[tuple[str, str]]:
    """Each projection of a layer: its name in all of them, and its own."""
    prefix = f"model.layers.{layer}."
    names = [name for name, _ in config.layer_matrices(layer)]
    modules = [(name, prefix + name) for name in names]
    if not config.is_dense(layer):
        for expert in {0, config.num_experts - 1}:
            one = f"{prefix}mlp.experts.{expert}."
            for name, _ in config.expert_matrices:
                modules.append((name, one + name.rpartition(".")[2]))
    return modules


def parts(module: str) -> set[str]:
    """All runs of the words of a dotted name."""
    words = module.split(".")
    ends = range(1, len(words) + 1)
    return {".".join(words[begin:end]) for end in ends for begin in range(end)}


def is_pattern(entry: str) -> bool:
    return entry.startswith("re:") or "*" in entry or "?" in entry


def compiled(entry: str) -> "Pattern":
    if len(entry) > _LENGTH_MAX:
        raise UnclearSkip(f"has an entry of {len(entry)} characters; at most {_LENGTH_MAX}")
    if not entry.startswith("re:"):
        return Pattern(entry, None)
    text = entry.removeprefix("re:")
    repeated = len(re.findall(r"[*+?]", text))
    if not _TAME.fullmatch(text) or re.search(r"\)[*+?]", text) or repeated > _QUANTIFIED_MAX:
        raise UnclearSkip(
            f"holds {entry!r}; patterns have words, dots, alternatives, and at most "
            f"{_QUANTIFIED_MAX} of * + ?"
        )
    try:
        return Pattern(entry, re.compile(text))
    except re.error as error:
        raise UnclearSkip(f"holds {entry!r}, no pattern: {error}") from error


class Pattern:
    """One entry with wildcards; compared as its writer does."""

    def __init__(self, entry: str, expression: "re.Pattern[str] | None") -> None:
        self._entry, self._expression = entry, expression

    def fullmatch(self, module: str) -> bool:
        """compressed-tensors matches a name's begin; ModelOpt a whole name or a module above it."""
        if self._expression is not None:
            return self._expression.match(module) is not None
        return fnmatchcase(module, self._entry) or fnmatchcase(module, self._entry + ".*")
