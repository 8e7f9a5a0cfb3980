"""What a wire needs is loaded when a node takes it, not where its files are imported."""

import subprocess
import sys

CODE = """
import sys
import workers.wire.transport.ucx
print([name for name in sys.modules if name.split(".")[0] in ("ucxx", "libucx", "libucxx")])
"""


def test_importing_a_wire_puts_no_hooks_before_the_c_library() -> None:
    """UCX writes jumps over mmap, munmap and others: of a process that never sends over it too."""
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
