"""The library, loaded so that nobody else notices; the only file that knows ucxx.

ucxx reads and writes environment variables when it is imported. What it needs is set for that
moment alone, and all variables are put back: child processes and other libraries do not inherit
them. Everything that shapes a context is given to it by name (`CONFIG`), so no `UCX_...` of the
environment can bring in RDMA.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# Read once, when the library is loaded; whoever has set one keeps it.
_WHILE_LOADING = {
    "UCX_LOG_LEVEL": "fatal",  # what goes wrong reaches us as a status, and a peer's death is known
    "UCX_WARN_UNUSED_ENV_VARS": "n",
    "UCX_HANDLE_ERRORS": "none",  # no handlers for signals: faulthandler's and Ray's stay
    "UCX_ERROR_SIGNALS": "",
}


@contextmanager
def _own_environment() -> Iterator[None]:
    before = dict(os.environ)
    for name, value in _WHILE_LOADING.items():
        os.environ.setdefault(name, value)
    try:
        yield
    finally:
        for name in [name for name in os.environ if name not in before]:
            del os.environ[name]
        os.environ.update(before)


with _own_environment():
    # ucxx loads these itself only where librmm is installed too, which nothing here needs.
    try:
        import libucx
    except ModuleNotFoundError:
        pass  # a UCX of the system's
    else:
        libucx.load_library()
    from ucxx._lib.arr import Array
    from ucxx._lib.libucxx import (
        Feature,
        UCXAddress,
        UCXContext,
        UCXEndpoint,
        UCXError,
        UCXRequest,
        UCXWorker,
    )
    from ucxx.types import Tag, TagMask

CONFIG = {
    "RNDV_FRAG_MEM_TYPES": "host",  # no GPU takes part, whether there is one or not
    "MEMTYPE_CACHE": "n",
    "RNDV_THRESH": "256k",  # longer ones wait until the receiver has room for them
    "MM_ERROR_HANDLING": "y",  # a peer that dies fails what was sent to it over shared memory
}
# The receiver reads what is long from the sender's memory where the kernel lets it: 64 MiB and an
# answer took 54 to 63 ms, 140 ms in the scheme that UCX would choose (2 cores, a load of 5).
SHARED_MEMORY = {"TLS": "posix,cma,self", "RNDV_SCHEME": "get_zcopy"}
__all__ = (
    "CONFIG",
    "SHARED_MEMORY",
    "Array",
    "Feature",
    "Tag",
    "TagMask",
    "UCXAddress",
    "UCXContext",
    "UCXEndpoint",
    "UCXError",
    "UCXRequest",
    "UCXWorker",
    "tag_of",
)  # fmt: skip


def tag_of(value: bytes) -> Any:
    """What UCX calls a tag."""
    return Tag(int.from_bytes(value, "little"))
