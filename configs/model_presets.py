"""Published models by name: sizes alone, one small file each in `configs/models/`.

A file has the keys of the publisher's config.json that sizes follow from, and no others, where they
are from, and what the publisher counts.
"""

from dataclasses import dataclass
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any, Literal

from configs.outside import shown
from configs.presets import KINDS, preset_names, preset_path, read_mapping

COUNTS = (
    "parameters",
    "parameters_without_embeddings",
    "active",
    "active_with_embedding",
    "kv_bytes_per_token",
)
_KEYS = frozenset(("source", "config", "published"))
_BILLION = 10**9


@dataclass(frozen=True, slots=True)
class Published:
    """A count as its publisher tells it, parameters in billions. The last digit that is written is
    the last that is meant: "671.0" to a tenth, "1E+3" to a thousand.
    """

    count: str
    value: str
    source: str

    def agrees(self, found: int) -> Literal["rounded", "cut", None]:
        """How a count makes the published figure: rounded to its digits, or cut after them; None
        where it does not.
        """
        figure = Decimal(self.value)
        exact = Decimal(found) / (1 if self.count.startswith("kv") else _BILLION)
        one = Decimal(1).scaleb(int(figure.as_tuple().exponent))
        if exact.quantize(one, ROUND_HALF_UP) == figure:
            return "rounded"
        return "cut" if exact.quantize(one, ROUND_DOWN) == figure else None


@dataclass(frozen=True, slots=True)
class ModelPreset:
    """config   keys of a config.json"""

    name: str
    path: Path
    source: str
    config: dict[str, Any]
    published: tuple[Published, ...]


def model_names() -> tuple[str, ...]:
    """Of all shipped descriptions, sorted."""
    return preset_names("model")


def is_model_name(name: str | Path) -> bool:
    """Whether a name means a shipped description: no file or folder of that name is meant."""
    text = str(name)
    return (KINDS["model"] / f"{text}.yaml").is_file() and not Path(text).exists()


def model_preset(name: str) -> ModelPreset:
    """Raises ValueError with the nearest names, or for a file that is none."""
    path = preset_path("model", name)
    values = read_mapping(path)
    for key in values:
        if key not in _KEYS:
            raise ValueError(f"{path}: {key} is not known: {', '.join(sorted(_KEYS))}")
    config, source = values.get("config"), values.get("source")
    if not isinstance(config, dict) or not isinstance(source, str):
        raise ValueError(f"{path}: source must be a text, and config a mapping of keys")
    return ModelPreset(name, path, source, config, _published(path, values.get("published", {})))


def _published(path: Path, values: Any) -> tuple[Published, ...]:
    found = []
    for source, counts in values.items() if isinstance(values, dict) else ():
        for count, value in counts.items() if isinstance(counts, dict) else ():
            if count not in COUNTS or not isinstance(value, str):
                right = f'counts are {", ".join(COUNTS)}, as texts: "671.0"'
                raise ValueError(f"{path}: published.{source}.{count} is {shown(value)}: {right}")
            found.append(Published(count, value, source))
    return tuple(found)
