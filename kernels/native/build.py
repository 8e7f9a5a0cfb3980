"""Compile the native library beside this file: `python -m kernels.native.build`, or at install.

One translation unit for each instruction set, all others for any processor of this architecture;
what runs is chosen when the library is loaded. Needs g++ (or what CXX names) and Python's headers;
takes seconds. This file imports nothing of ours, so that setup.py can run it from its path.
"""

import os
import platform
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

NATIVE = Path(__file__).resolve().parent
LIBRARY = NATIVE / "_lib.abi3.so"

# -ffp-contract=off: where products and sums round apart or together is written in the source, so
# exact mode has the same bits under every compiler.
FLAGS = ("-std=c++17 -O3 -g1 -fPIC -fvisibility=hidden -ffp-contract=off -Wall -Wextra").split()
_AVX2 = "-mavx2 -mfma -mf16c".split()
_AVX512 = [*_AVX2, *"-mavx512f -mavx512dq -mavx512bw -mavx512vl -mavx512vnni".split()]
# GCC 12 takes its own intrinsics' undefined registers for ours (PR 105593).
_QUIET = ["-Wno-maybe-uninitialized", "-Wno-uninitialized"]
_AVX512_BF16 = [*_AVX512, "-mavx512bf16", *_QUIET]
UNITS = {
    "isa_amx_emulated.cpp": [],
    "isa_portable.cpp": [],
    "isa_avx2.cpp": _AVX2,
    "isa_avx512.cpp": [*_AVX512, *_QUIET],
    "isa_avx512_bf16.cpp": _AVX512_BF16,
    "isa_amx.cpp": [*_AVX512_BF16, *"-mamx-tile -mamx-bf16 -mamx-int8".split()],
}
X86_ONLY = ("isa_avx2.cpp", "isa_avx512.cpp", "isa_avx512_bf16.cpp", "isa_amx.cpp")


# A template's errors repeat themselves; the first ones say it.
ERROR_CHARS = 4000


class BuildError(Exception):
    """The library cannot be built here; says why."""


def compiler() -> list[str]:
    """The C++ compiler's command. Raises BuildError where there is none."""
    command = shlex.split(os.environ.get("CXX", "")) or ["g++"]
    if shutil.which(command[0]) is None:
        raise BuildError(f"no C++ compiler: {command[0]} is not on the PATH")
    return command


def sources(with_python: bool = True) -> list[tuple[Path, list[str]]]:
    """Each source file and its own flags."""
    on_x86 = platform.machine() in ("x86_64", "AMD64")
    files = sorted([*NATIVE.glob("*.cpp"), *NATIVE.parent.glob("*/*.cpp")])
    files = list(dict.fromkeys(files))
    return [
        (file, UNITS.get(file.name, []))
        for file in files
        if (on_x86 or file.name not in X86_ONLY) and (with_python or file.name != "module.cpp")
    ]


def run(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BuildError(f"{' '.join(command)}\n{done.stderr.strip()[:ERROR_CHARS]}")


def compile_objects(
    folder: Path, extra: Sequence[str] = (), with_python: bool = True
) -> list[Path]:
    """Compile every source, a few at a time; returns the object files."""
    command, include = compiler(), sysconfig.get_paths()["include"]
    if with_python and not Path(include, "Python.h").is_file():
        raise BuildError(f"Python's headers are missing: {include}/Python.h")

    def compile_one(source: tuple[Path, list[str]]) -> Path:
        file, flags = source
        target = folder / f"{file.parent.name}_{file.stem}.o"
        run([*command, *FLAGS, *flags, *extra, f"-I{include}", "-c", str(file), "-o", str(target)])
        return target

    with ThreadPoolExecutor(max_workers=max(1, os.cpu_count() or 1)) as executor:
        return list(executor.map(compile_one, sources(with_python)))


def build(library: Path = LIBRARY, extra: Sequence[str] = ()) -> Path:
    """Compile and link; the old library stays until the new one is whole.

    Raises BuildError with what the compiler said.
    """
    with tempfile.TemporaryDirectory() as folder:
        objects = compile_objects(Path(folder), extra)
        partial = library.with_name(f".{library.name}.{os.getpid()}.partial")
        try:
            link = [*compiler(), "-shared", "-pthread", *extra, "-o", str(partial)]
            run([*link, *map(str, objects), "-ldl"])
            partial.replace(library)
        finally:
            partial.unlink(missing_ok=True)
    return library


def main() -> int:
    try:
        library = build()
    except BuildError as error:
        sys.stderr.write(f"kernels: not built, the reference kernels are used.\n{error}\n")
        return 1
    sys.stdout.write(f"kernels: built {library}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
