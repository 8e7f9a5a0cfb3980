"""What the interpreter lets pass, the compiler may refuse: each kernel is compiled for sm_90."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import tests.kernels.twins  # noqa: F401  (skips where triton is not)

ROOT = Path(__file__).resolve().parents[2]
KERNELS = {
    "kernels.codec.twin": ("_places", "_pack", "_unpack"),
    "kernels.codec.twin_reduce": ("_table", "_reduce"),
    "kernels.moe.twin": ("_gate_up", "_down", "_sum"),
    "kernels.attention.twin": ("_attend",),
    "kernels.mla.twin": ("_attend",),
    "kernels.gpu.parts": ("_merge",),
}


@pytest.mark.slow
def test_every_kernel_compiles_for_hopper(tmp_path):
    env = os.environ | {"TRITON_INTERPRET": "0", "TRITON_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-m", "tests.kernels.compile_twins"]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    wanted = {f"{module}.{name}" for module, names in KERNELS.items() for name in names}
    assert wanted <= set(done.stdout.split()), done.stdout
