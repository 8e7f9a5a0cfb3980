"""Files that a scenario file names: beside it first, then in the working directory. The name of a
shipped description is no file's, unless there is one.

A scenario and its trace travel together, whoever runs them from wherever. What `--set` names is
the user's at the prompt, and stays relative to the working directory.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from configs.model_presets import is_model_name
from configs.outside import shown
from configs.presets import TINY_CORPUS, TINY_MODEL

# Keys whose value is a file or folder; None stands for any name, or any item of a list.
PATH_KEYS: tuple[tuple[str | None, ...], ...] = (
    ("cluster", "certificates"),
    ("model", "path"),
    ("model", "routing", "replay"),
    ("placement", "collections", None, "path"),
    ("placement", "experts", "replicas", "path"),
    ("faults", None, "attributes", "path"),
    ("workload", "arrivals", "trace", "path"),
    ("workload", "prompts", "trace", "path"),
    ("workload", "prompts", "questions", "path"),
)
_NAMES = (TINY_MODEL, TINY_CORPUS)


def anchored(layer: dict[str, Any], file: Path) -> dict[str, Any]:
    """What a scenario file says, with its relative paths made absolute."""
    folder = Path(file).absolute().parent
    for keys in PATH_KEYS:
        layer = _replaced(layer, keys, folder)
    return layer


def _replaced(value: Any, keys: tuple[str | None, ...], folder: Path) -> Any:
    if not keys:
        return _anchor(value, folder) if isinstance(value, str) else value
    if isinstance(value, list) and keys[0] is None:
        return [_replaced(item, keys[1:], folder) for item in value]
    if not isinstance(value, Mapping):
        return value  # whatever it is, the schema says so
    wanted = value if keys[0] is None else [keys[0]] if keys[0] in value else []
    return {**value, **{key: _replaced(value[key], keys[1:], folder) for key in wanted}}


def _anchor(text: str, folder: Path) -> str:
    path = Path(text)
    if not text or text in _NAMES or text.startswith("~") or path.is_absolute() or "\0" in text:
        return text
    beside, here = folder / path, Path.cwd() / path
    if is_model_name(text) and not beside.exists():
        return text
    return str(here if here.exists() and not beside.exists() else beside)


def missing(value: Mapping[str, Any], layers: list[tuple[Path, dict[str, Any]]]) -> Iterator[str]:
    """A problem for each path that a file gives relative to itself and that is in neither place,
    unless something replaced it. `layers` are the files as they were read.
    """
    for keys in PATH_KEYS:
        for names, path in _found(value, keys):
            for file, layer in layers:
                text = dict(_found(layer, keys)).get(names)
                if text is None or path != _anchor(text, Path(file).absolute().parent):
                    continue
                if path != text and not Path(path).exists():
                    yield (
                        f"{file}: {'.'.join(names)}: {shown(text)} is neither beside this file "
                        f"({path}) nor in the working directory ({Path.cwd() / text})"
                    )


def _found(
    value: Any, keys: tuple[str | None, ...], above: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], str]]:
    """(names, path) wherever the keys lead to a text."""
    if not keys:
        if isinstance(value, str):
            yield above, value
        return
    if isinstance(value, list) and keys[0] is None:
        for index, item in enumerate(value):
            yield from _found(item, keys[1:], (*above, str(index)))
    if isinstance(value, Mapping):
        for key in value if keys[0] is None else [keys[0]]:
            if key in value:
                yield from _found(value[key], keys[1:], (*above, str(key)))
