"""Run the kernel tests on a library built with the address and undefined-behaviour sanitizers.

    python -m kernels.native.check [pytest arguments]

Builds into a temporary copy of the package, so the library in use stays. The sanitizer's run time
is loaded before Python itself; leaks are not looked for: the interpreter keeps much until it ends.
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


def main(arguments: list[str]) -> int:
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "copy")
        for part in ("kernels", "tests/kernels", "pyproject.toml"):
            source, target = ROOT / part, copy / part
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                ignore = shutil.ignore_patterns("*.so", "__pycache__")
                shutil.copytree(source, target, ignore=ignore)
            else:
                shutil.copy(source, target)
        for part in ("tests/__init__.py", "tests/conftest.py"):
            shutil.copy(ROOT / part, copy / part)
        build.build(copy / "kernels" / "native" / build.LIBRARY.name, extra=SANITIZE)
        environment = os.environ | {
            "LD_PRELOAD": preload(),
            "ASAN_OPTIONS": "detect_leaks=0",
            "UBSAN_OPTIONS": "print_stacktrace=1",
            "PYTHONPATH": str(copy),
        }
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/kernels"]
        return subprocess.run(
            [*command, *arguments], cwd=copy, env=environment, check=False
        ).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
