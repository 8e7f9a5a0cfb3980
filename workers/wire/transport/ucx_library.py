"""The library ucxx, loaded so that nobody else notices; the only file that knows it.

ucxx reads and writes environment variables when it is imported, as UCX does, so it is imported as
UCX's own libraries are (`kernels.native.ucx`). Everything that shapes a context is given to it by
name (`CONFIG`), so no `UCX_...` of the environment can change it.
"""

from functools import cache
from types import SimpleNamespace
from typing import Any

from kernels.native.ucx import load, own_environment

CONFIG = {
    "RNDV_FRAG_MEM_TYPES": "host",  # no GPU takes part, whether there is one or not
    "MEMTYPE_CACHE": "n",
    "RNDV_THRESH": "256k",  # longer ones wait until the receiver has room for them
    "MM_ERROR_HANDLING": "y",  # a peer that dies fails what was sent to it over shared memory
}
# The receiver reads what is long from the sender's memory where the kernel lets it: 64 MiB and an
# answer took 54 to 63 ms, 140 ms in the scheme that UCX would choose (2 cores, a load of 5).
SHARED_MEMORY = {"TLS": "posix,cma,self", "RNDV_SCHEME": "get_zcopy"}
# Between machines: and what InfiniBand and RoCE have, where a device of ours is one of these.
NETWORK = "tcp,ib"


@cache
def library() -> SimpleNamespace:
    """What is used of ucxx, by its names there.

    Loaded by the first call and not by an import: from then on UCX's hooks stand before the C
    library's mmap, munmap and others, for the rest of the process.
    """
    with own_environment():
        load()  # ucxx does so itself only where librmm is installed too, which nothing here needs
        from ucxx._lib.arr import Array
        from ucxx._lib.libucxx import (
            Feature,
            UCXAddress,
            UCXContext,
            UCXEndpoint,
            UCXError,
            UCXWorker,
        )
        from ucxx.types import Tag, TagMask
    return SimpleNamespace(
        Array=Array,
        Feature=Feature,
        Tag=Tag,
        TagMask=TagMask,
        UCXAddress=UCXAddress,
        UCXContext=UCXContext,
        UCXEndpoint=UCXEndpoint,
        UCXError=UCXError,
        UCXWorker=UCXWorker,
    )


def tag_of(value: bytes) -> Any:
    """What UCX calls a tag."""
    return library().Tag(int.from_bytes(value, "little"))
