"""Which format a module has, by the lists that writers of quantised folders use.

Entries are those of `configs.families.skipped`: a module and all inside it, a part of its name, a
pattern of ModelOpt's or of compressed-tensors'. What a multimodal file puts before its text part's
modules makes no difference.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from configs.families.skipped import Pattern, compiled, is_pattern, parts
from configs.shapes.formats import Format

_PATTERNS_MAX = 256
_LAYER = re.compile(r"\blayers\.\d")


@dataclass(frozen=True, slots=True)
class Names:
    """Modules that a list names."""

    literals: frozenset[str] = frozenset()
    patterns: tuple[Pattern, ...] = ()
    by_layer: bool = False  # some entry names a layer

    @classmethod
    def of(cls, entries: Iterable[str]) -> "Names":
        """Raises UnclearSkip for a pattern that could take long, ValueError for too many."""
        plain = [entry.replace("language_model.", "") for entry in entries]
        patterns = tuple(compiled(entry) for entry in plain if is_pattern(entry))
        if len(patterns) > _PATTERNS_MAX:
            raise ValueError(f"has {len(patterns)} patterns; at most {_PATTERNS_MAX} are read")
        literals = frozenset(entry for entry in plain if not is_pattern(entry))
        return cls(literals, patterns, any(_LAYER.search(entry) for entry in plain))

    def hold(self, module: str) -> bool:
        return not self.literals.isdisjoint(parts(module)) or any(
            pattern.fullmatch(module) for pattern in self.patterns
        )


@dataclass(frozen=True, slots=True)
class Chosen:
    """named     modules that have a format of their own: these come first
    wide      modules that keep the folder's dtype
    default   of all else but embedding and head; None: wide
    """

    default: Format | None = None
    wide: Names = Names()
    named: Mapping[str, Format] = field(default_factory=dict)

    def __call__(self, module: str) -> Format | None:
        for part in parts(module) if self.named else ():
            if part in self.named:
                return self.named[part]
        if self.wide.hold(module) or module == "lm_head" or module.endswith("embed_tokens"):
            return None
        return self.default

    @property
    def same_in_all_layers(self) -> bool:
        return not self.wide.by_layer and not any(_LAYER.search(name) for name in self.named)
