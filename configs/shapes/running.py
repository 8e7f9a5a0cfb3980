"""What can run a described model: real numbers, digests, or neither yet, and why."""

from dataclasses import dataclass
from pathlib import Path

from configs.checkpoint_files import CheckpointError, has_weights
from configs.families import FAMILIES, load_model
from configs.model_presets import is_model_name
from configs.shapes.as_config import load_described


@dataclass(frozen=True, slots=True)
class Runs:
    """Why not, one line each; empty where it runs. Real numbers are of computed families, and need
    weights; digests of all models whose cache is alike in all layers (`configs.shapes.as_config`).
    """

    real: str
    digest: str


def runs(name: str, architecture: str) -> Runs:
    """Of a shipped description, or of a file or folder that has been described as one of this
    architecture.
    """
    if architecture not in FAMILIES:
        reason = f"{architecture} is described, not computed: only {', '.join(FAMILIES)} are"
        return Runs(reason, _digest(name))
    try:
        load_model(name if is_model_name(name) else Path(name).expanduser())
    except CheckpointError as error:
        return Runs(str(error).partition(": ")[2], _digest(name))
    folder = Path(name).expanduser()
    if is_model_name(name) or not (folder.is_dir() and has_weights(folder)):
        return Runs("there are no weights here: a folder with them is needed", "")
    return Runs("", "")


def _digest(name: str) -> str:
    """Why a described model is none of digests; empty where it is."""
    try:
        load_described(name)
    except CheckpointError as error:
        return str(error).partition(": ")[2]
    return ""
