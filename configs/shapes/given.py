"""A config.json's keys as a describer takes them: each checked, and remembered.

What describes sizes needs few of a file's keys. Those that nobody took and that may speak of sizes
are told as a note: a description passes over nothing in silence.
"""

import re
from pathlib import Path
from typing import Any

from configs.families.keys import WALKED_MAX, WHOLE_MAX, Keys
from configs.outside import shown

_SIZE = re.compile(
    r"(num|n)_.*|.*_(size|dim|dims|rank|heads|layers|experts|window|ratios?|width|interval|freq"
    r"|step|pattern|types|type|bias|groups|mult|expand|top_?k|topk)|.*_(norm|gate)|head_dim"
)
# Sizes of what is no weight and no state: of training, of sampling, of the text's handling.
_HARMLESS = re.compile(
    r".*(token|beam|return|label|loss|aux|dropout|jitter|initializer|rope|rotary|theta"
    r"|vocab_size_per|chunk_size|prefix|logits|n_group|topk_group|problem|model_type|time_step"
    r"|max_window|_act|activation|image|video|vision|ep_size|pretraining|seq_|tie_|bidirectional"
    r"|position|cache|gram|residual|overlap|split|reward|router_dtype|renorm|topk_method|norm_topk"
    r"|torch|scoring).*"
)
_NAME_MAX = 60  # characters of a key that a note tells as it is


class _Tracked(dict[str, Any]):
    """A mapping that remembers which keys were asked for."""

    def __init__(self, values: dict[str, Any]) -> None:
        super().__init__(values)
        self.asked: set[str] = set()

    def __getitem__(self, key: str) -> Any:
        self.asked.add(key)
        return super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        self.asked.add(key)
        return super().get(key, default)

    def __contains__(self, key: object) -> bool:
        if isinstance(key, str):
            self.asked.add(key)
        return super().__contains__(key)


class Given(Keys):
    """Keys of one object; what is null counts as absent."""

    def __init__(self, path: Path, values: dict[str, Any], prefix: str = "") -> None:
        there = {key: value for key, value in values.items() if value is not None}
        self._tracked = _Tracked(there)
        super().__init__(path, self._tracked, prefix)

    def size(self, *names: str, default: int | None = None, most: int = WHOLE_MAX) -> int:
        """A whole number of at least one; without a default one of the names must be there."""
        return self._at_least(1, names, default, most)

    def size_or_zero(self, *names: str, default: int | None = 0, most: int = WHOLE_MAX) -> int:
        """A whole number of at least zero."""
        return self._at_least(0, names, default, most)

    def _at_least(self, least: int, names: tuple[str, ...], default: int | None, most: int) -> int:
        name = self.first(*names)
        if name not in self.values and default is not None:
            return default
        return self._whole(name, least, most)

    def num_layers(self) -> int:
        return self.size("num_hidden_layers", most=WALKED_MAX)

    def more_layers(self, *names: str) -> int:
        """Of layers that are counted apart; 0 where the file says nothing of them."""
        return self.size_or_zero(*names, most=WALKED_MAX)

    def is_on(self, name: str, default: bool = False) -> bool:
        return self.flag(name, default)

    def each(self, name: str, count: int, *right: object) -> list[Any] | None:
        """A list with an entry a layer, each one of `right`; None where it is absent."""
        value = self.values.get(name)
        if value is None:
            return None
        if not isinstance(value, list) or len(value) < count:
            right_length = f"it must be a list with an entry for each of {count} layers"
            raise self.error(name, value, right_length)
        for entry in value[:count]:
            if not any(entry == one and type(entry) is type(one) for one in right):
                raise self.error(name, entry, f"each must be {' or '.join(map(repr, right))}")
        return value[:count]

    def within(self, name: str) -> "Given | None":
        """The keys of an object in the file; None where it is absent."""
        inner = self.inside(name)
        return (
            None
            if inner is None
            else Given(self.path, dict(inner.values), f"{self._prefix}{name}.")
        )

    def pass_over(self, *names: str) -> None:
        """Keys that say once more what others have said, or nothing here."""
        self._tracked.asked.update(names)

    def unread(self) -> list[str]:
        """Keys that nobody took and that may speak of sizes, sorted; one that is long, or that no
        screen shows as it is, in quotes and short.
        """
        left = (key for key in self.values if key not in self._tracked.asked)
        return sorted(
            key if key.isprintable() and len(key) <= _NAME_MAX else shown(key)
            for key in left
            if _SIZE.fullmatch(key) and not _HARMLESS.fullmatch(key) and self._tracked[key]
        )
