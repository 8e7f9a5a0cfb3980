"""Run the kernel tests on a library that was built for more than speed:

    python -m kernels.native.check [pytest arguments]
    python -m kernels.native.check --amx-traps [pytest arguments]

The first has the address and undefined-behaviour sanitizers. The second believes that AMX is there
and carries out its instructions where they trap: the machine code of `amx` runs on a processor
without it, slowly (x86-64 Linux only).

Builds into a temporary copy of the package, so the library in use stays. What is to be loaded comes
before Python itself; leaks are not looked for: the interpreter keeps much until it ends.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from kernels.native import build

ROOT = build.NATIVE.parent.parent
SANITIZE = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer")


def preload() -> str:
    """The sanitizer's run time, and the C++ one: it looks for the latter's throw when it starts."""
    paths = []
    for name in ("libasan.so", "libstdc++.so.6"):
        command = [*build.compiler(), f"-print-file-name={name}"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        paths.append(done.stdout.strip())
    return " ".join(paths)


def trap_handler(copy: Path) -> str:
    """Compiles what carries out AMX instructions; its path."""
    target = copy / "amx_trap.so"
    source = copy / "tests" / "kernels" / "amx_trap.cpp"
    flags = ["-std=c++17", "-O2", "-fPIC", "-shared", "-ffp-contract=off", "-Wall", "-Wextra"]
    build.run([*build.compiler(), *flags, str(source), "-o", str(target), "-ldl"])
    return str(target)


def copy_to(copy: Path) -> None:
    for part in ("kernels", "tests/kernels", "pyproject.toml"):
        source, target = ROOT / part, copy / part
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            ignore = shutil.ignore_patterns("*.so", "__pycache__")
            shutil.copytree(source, target, ignore=ignore)
        else:
            shutil.copy(source, target)
    for module in (ROOT / "tests").glob("*.py"):  # conftest.py, and what it imports
        shutil.copy(module, copy / "tests" / module.name)


def main(arguments: list[str]) -> int:
    traps = "--amx-traps" in arguments
    arguments = [argument for argument in arguments if argument != "--amx-traps"]
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "copy")
        copy_to(copy)
        extra = ("-DPERFUSE_AMX_TRAPS",) if traps else SANITIZE
        build.build(copy / "kernels" / "native" / build.LIBRARY.name, extra=extra)
        environment = os.environ | {
            "LD_PRELOAD": trap_handler(copy) if traps else preload(),
            "ASAN_OPTIONS": "detect_leaks=0",
            "UBSAN_OPTIONS": "print_stacktrace=1",
            "PYTHONPATH": str(copy),
        }
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        command += [*(["-k", "amx"] if traps else []), "tests/kernels", *arguments]
        return subprocess.run(command, cwd=copy, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
