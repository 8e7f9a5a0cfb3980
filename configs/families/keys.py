"""Takes keys out of one config.json, each checked, and says which one was wrong."""

import math
from pathlib import Path
from typing import Any

from configs.checkpoint_files import CheckpointError, read_json
from configs.outside import shown

# Of sizes and counts. Those of layers and experts are walked over, one by one.
WHOLE_MAX = (1 << 31) - 1
WALKED_MAX = 65_536


class Keys:
    """`values` is the object in the file at `path`. Every method raises CheckpointError that names
    file, key and value, and what would be right.

    prefix   how errors name what is inside an object of the file, e.g. "rope_scaling."
    """

    def __init__(self, path: Path, values: dict[str, Any], prefix: str = "") -> None:
        self.path = path
        self.values = values
        self._prefix = prefix

    def error(self, key: str, found: object, right: str) -> CheckpointError:
        return CheckpointError(f"{self.path}: {self._prefix}{key} is {shown(found)}; {right}")

    def missing(self, key: str, right: str) -> CheckpointError:
        return CheckpointError(f"{self.path}: {self._prefix}{key} is missing; {right}")

    def require(self, key: str, expected: object, why: str) -> None:
        """Refuse a feature that would change the tokens and that we do not compute: a key that is
        there with another value than the expected one.
        """
        found = self.values.get(key, expected)
        # true is no 1, though Python says so.
        if found != expected or isinstance(found, bool) != isinstance(expected, bool):
            raise self.error(key, found, why)

    def one_of(self, key: str, *right: object) -> None:
        """Refuse a value that is neither absent, null nor one of these."""
        found = self.values.get(key)
        is_right = any(found == one and type(found) is type(one) for one in right)
        if found is not None and not is_right:
            raise self.error(key, found, f"it must be {' or '.join(map(str, right))}, or absent")

    def count(self, *names: str, most: int = WHOLE_MAX) -> int:
        """A whole number of at least one, under the first of the names that is there."""
        return self._whole(self.first(*names), 1, most)

    def count_or_zero(self, *names: str) -> int:
        """A whole number of at least zero."""
        return self._whole(self.first(*names), 0, WHOLE_MAX)

    def first(self, *names: str) -> str:
        """Of several names for one thing the first that is there, else the first. Two that are
        there must say the same.
        """
        there = [name for name in names if name in self.values]
        for other in there[1:]:
            if self.values[other] != self.values[there[0]]:
                right = f"it must be {shown(self.values[there[0]])}, as {there[0]} is, or absent"
                raise self.error(other, self.values[other], right)
        return there[0] if there else names[0]

    def _whole(self, name: str, least: int, most: int) -> int:
        right = f"it must be a whole number >= {least}, at most {most}"
        if name not in self.values:
            raise self.missing(name, right)
        value = self.values[name]
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise self.error(name, value, right)
        return value

    def number(self, name: str, default: float | None = None) -> float:
        """A finite number above 0; without a default it must be there."""
        right = "it must be a number above 0"
        if name not in self.values and default is None:
            raise self.missing(name, right)
        value = self.values.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.error(name, value, right)
        if not 0 < value < math.inf:
            raise self.error(name, value, right)
        return float(value)

    def flag(self, name: str, default: bool | None = None) -> bool:
        """true or false; without a default it must be there."""
        right = "it must be true or false"
        if name not in self.values and default is None:
            raise self.missing(name, right)
        value = self.values.get(name, default)
        if not isinstance(value, bool):
            raise self.error(name, value, right)
        return value

    def inside(self, name: str) -> "Keys | None":
        """The keys of an object in the file; None where it is null or left out."""
        value = self.values.get(name)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise self.error(name, value, "it must be an object or null")
        there = {key: item for key, item in value.items() if item is not None}
        return Keys(self.path, there, f"{self._prefix}{name}.")

    def dtype(self) -> str:
        name = "torch_dtype" if self.values.get("dtype") is None else "dtype"
        value = self.values.get(name)
        value = "float32" if value is None else value
        if value not in ("float32", "bfloat16", "float16"):
            raise self.error(name, value, "it must be float32, bfloat16 or float16")
        return str(value)

    def eos_token_ids(self) -> tuple[int, ...]:
        """From generation_config.json where it says so, else from config.json."""
        path, values = self.path, self.values
        generation = self.path.with_name("generation_config.json")
        if generation.is_file():
            theirs = read_json(generation)
            if theirs.get("eos_token_id") is not None:
                path, values = generation, theirs
        found = values.get("eos_token_id")
        ids = [] if found is None else found if isinstance(found, list) else [found]
        vocab = self.count("vocab_size")
        for one in ids:
            if isinstance(one, bool) or not isinstance(one, int) or not 0 <= one < vocab:
                right = f"it must hold token ids from 0 to {vocab - 1}"
                raise CheckpointError(f"{path}: eos_token_id is {shown(found)}; {right}")
        return tuple(dict.fromkeys(ids))

    def refuse_everywhere(self) -> None:
        """What no family computes."""
        for name in ("attention_bias", "mlp_bias"):
            if self.values.get(name):
                raise self.error(name, self.values[name], "it must be false")
        self.require("hidden_act", "silu", 'it must be "silu"')
