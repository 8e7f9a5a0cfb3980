"""What can run a described model: real numbers, digests, or neither yet, and why."""

from dataclasses import dataclass
from pathlib import Path

from configs.checkpoint_files import CheckpointError, has_weights
from configs.families import FAMILIES, load_model
from configs.model_presets import is_model_name


@dataclass(frozen=True, slots=True)
class Runs:
    """Why not, one line each; empty where it runs. What is computed at all is what `ModelConfig`
    holds: digests need no more than that, real numbers weights as well.
    """

    real: str
    digest: str


def runs(name: str, architecture: str) -> Runs:
    """Of a shipped description, or of a file or folder that has been described as one of this
    architecture.
    """
    if architecture not in FAMILIES:
        reason = f"{architecture} is described, not computed: only {', '.join(FAMILIES)} are"
        return Runs(reason, reason)
    try:
        load_model(name if is_model_name(name) else Path(name).expanduser())
    except CheckpointError as error:
        reason = str(error).partition(": ")[2]
        return Runs(reason, reason)
    folder = Path(name).expanduser()
    if is_model_name(name) or not (folder.is_dir() and has_weights(folder)):
        return Runs("there are no weights here: a folder with them is needed", "")
    return Runs("", "")
