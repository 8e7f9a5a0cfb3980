"""UCX's own libraries, loaded so that nobody else notices; the only file that knows libucx.

They read variables of the environment when they are loaded. What they need is set for that moment
alone, and all variables are put back: child processes and other libraries do not inherit them.
"""

import ctypes.util
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Read once, when the library is loaded; whoever has set one keeps it. Its hooks on memory stay as
# they are: it writes jumps over the C library's mmap, munmap and others. By relocation tables
# (UCX_MEM_MMAP_HOOK_MODE=reloc) Ray's actors die when they load it; without hooks
# (UCX_MEM_EVENTS=n) a process does when a peer dies in the middle of a long message.
_WHILE_LOADING = {
    "UCX_LOG_LEVEL": "fatal",  # what goes wrong reaches us as a status, and a peer's death is known
    "UCX_WARN_UNUSED_ENV_VARS": "n",
    "UCX_HANDLE_ERRORS": "none",  # no handlers for signals: faulthandler's and Ray's stay
    "UCX_ERROR_SIGNALS": "",
}


@contextmanager
def own_environment() -> Iterator[None]:
    before = dict(os.environ)
    for name, value in _WHILE_LOADING.items():
        os.environ.setdefault(name, value)
    try:
        yield
    finally:
        for name in [name for name in os.environ if name not in before]:
            del os.environ[name]
        os.environ.update(before)


def load() -> str:
    """The file of libucp, or the name of the system's; "" where there is neither."""
    with own_environment():
        try:
            import libucx
        except ModuleNotFoundError:
            name = ctypes.util.find_library("ucp") or ""
            if name:
                ctypes.CDLL(name)
            return name
        libucx.load_library()
        return str(Path(libucx.__file__).parent / "lib" / "libucp.so")
