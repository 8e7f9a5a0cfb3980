"""Where the clients' environments lie, below the repository's ignored folder of outputs."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
INSIDE = ROOT / "benchmarks" / "clients" / "inside"
CLIENTS = ROOT / "out" / "clients"


def python_of(client: str) -> Path:
    """The interpreter of a client's environment."""
    return CLIENTS / client / "bin" / "python"
