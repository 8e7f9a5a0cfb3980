"""The hot path: dense linear, experts, dispatch codec, vector scan, sampling. Each op is a folder
with one signature, a plain reference in numpy, and native code where the library is built; `paged`
is what ops over a cache in blocks share.
"""

from dataclasses import dataclass

from kernels import native


@dataclass(frozen=True)
class BuildInfo:
    """What runs here.

    native        whether the native library is used; else the numpy references are
    isa           the instruction set in use; "reference" without the library
    isas          instruction sets that could be forced, slowest first; amx-emulated is for tests
    cpu_features  of this processor, as far as kernels care; "" without the library
    threads       that work on one call
    why           why there is no library; "" where there is
    """

    native: bool
    isa: str
    isas: tuple[str, ...]
    cpu_features: str
    threads: int
    why: str

    def __str__(self) -> str:
        if not self.native:
            return f"reference kernels (numpy): the native library is {self.why}"
        return f"native kernels, {self.isa}, {self.threads} threads ({self.cpu_features})"


def build_info() -> BuildInfo:
    """Which kernels run in this process, and why."""
    lib = native.lib
    if lib is None:
        return BuildInfo(False, native.REFERENCE, (), "", 1, native.missing)
    return BuildInfo(
        True, lib.isa(), native.isas(), lib.cpu_features(), lib.num_threads(), native.missing
    )
