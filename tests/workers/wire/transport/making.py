"""A wire of each kind between processes, made alike for a test and for a process that it starts."""

from pathlib import Path
from typing import Any

from configs.certificates import read_certificates
from configs.schema.wires import LOOPBACK

TOKEN = "ours"
SMALL_RING_BYTES = 4096


def make_wire(
    kind: str, name: str, *, token: str = TOKEN, certificates: Path | None = None, **options: Any
) -> Any:
    """A transport of that kind; `options` are its own, `certificates` a folder for grpc_tls."""
    # Only here: UCX may not be installed, and a process loads what it uses.
    if kind.startswith("ucx"):
        from workers.wire.transport.ucx import UcxTransport

        apart = kind == "ucx_apart"
        return UcxTransport(name, token=token, unix=kind == "ucx_unix", apart=apart, **options)
    if kind.startswith("shm"):
        from workers.wire.transport.shm import ShmTransport

        ring: Any = {"ring_bytes": SMALL_RING_BYTES} if kind == "shm_small" else {}
        return ShmTransport(name, token=token, **ring, **options)
    from workers.wire.transport.grpc import GrpcTransport

    if kind == "grpc_tls":
        assert certificates is not None, "it has none without"
        options["certificates"] = read_certificates(certificates, LOOPBACK)
    return GrpcTransport(name, token=token, unix=kind == "grpc_unix", **options)


def in_folder(folder: Path | str) -> dict[str, Any]:
    """The option of where sockets are made, which all kinds have."""
    return {"folder": Path(folder)}
