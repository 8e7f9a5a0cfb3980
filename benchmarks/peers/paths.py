"""Where the peers' environments and the model lie, below the repository's ignored build folder."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
CODE = ROOT / "benchmarks" / "peers"
BUILD = ROOT / "build" / "peers"
MODEL = BUILD / "model"
GGUF = BUILD / "model.gguf"


def python_of(peer: str) -> Path:
    """The interpreter of a peer's environment."""
    return BUILD / peer / "bin" / "python"
