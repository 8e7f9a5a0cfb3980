"""A machine without torch and Triton has all kernels but the GPU twins."""

import subprocess
import sys
from pathlib import Path

import kernels

ROOT = Path(kernels.__file__).resolve().parents[1]
OPS = "all_to_all attention bandwidth codec decoder exchange linear mla moe native sampling scan"


def test_kernels_import_without_torch_and_triton():
    code = "import sys; sys.modules['torch'] = sys.modules['triton'] = None; import kernels"
    code += "".join(f"; import kernels.{op}" for op in OPS.split()) + "; kernels.build_info()"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
