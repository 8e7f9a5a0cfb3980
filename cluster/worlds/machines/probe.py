"""What a machine says of itself. Sent to it as code: nothing of ours need be there yet, so nothing
of ours is imported above.
"""

import hashlib
import socket
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

PACKAGES = ("cluster", "configs", "kernels", "protos", "workers")


def probe(dependencies: tuple[str, ...]) -> dict[str, Any]:
    """On a machine of a Ray cluster: its `MachineReport`, as a dictionary."""
    import ray

    isa, why, source = "", "", ""
    lacks = [name for name in dependencies if find_spec(name) is None]
    root = _root()
    if root is not None and not lacks:
        source = digest(root)
        try:
            import kernels

            built = kernels.build_info()
            isa, why = built.isa, built.why
        except Exception as error:  # whatever is wrong there is told here
            why = f"{type(error).__name__}: {error}"
    context = ray.get_runtime_context()
    return {
        "node_id": context.get_node_id(),
        "host": socket.gethostname(),
        "address": ray.util.get_node_ip_address(),
        "source": source,
        "isa": isa,
        "why": why,
        "ucx": find_spec("ucxx") is not None,
        "lacks": tuple(lacks),
        "prefix": sys.prefix,
    }


def _root() -> Path | None:
    """Where our packages are installed here."""
    spec = find_spec("cluster")
    if spec is None or not spec.origin:
        return None
    root = Path(spec.origin).resolve().parent.parent
    return root if all((root / name).is_dir() for name in PACKAGES) else None


def digest(root: Path) -> str:
    """Of all Python that our packages consist of: the same for the same release."""
    told = hashlib.sha256()
    for name in PACKAGES:
        for path in sorted((root / name).rglob("*.py")):
            told.update(str(path.relative_to(root)).encode() + b"\0")
            told.update(hashlib.sha256(path.read_bytes()).digest())
    return told.hexdigest()
