"""The library as a whole: that it is there, what it says of itself, and its threads."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest

import kernels
from kernels import bandwidth, linear, native
from kernels.native import build
from kernels.numbers import KINDS
from tests.kernels.data import normal

needs_library = pytest.mark.skipif(native.lib is None, reason=f"library is {native.missing}")


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_library_is_there_where_a_compiler_is():
    try:
        build.compiler()
    except build.BuildError as error:
        pytest.skip(str(error))
    if os.environ.get("PERFUSE_ISA") != native.REFERENCE:
        assert native.lib is not None, native.missing


@needs_library
def test_it_says_what_runs(native_isa):
    info = kernels.build_info()
    assert info.native and info.isa == native_isa and info.isa in info.isas
    assert info.threads >= 1 and native_isa in str(info)


def test_without_the_library_it_says_so():
    code = "import kernels; print(kernels.build_info())"
    done = run(code, PERFUSE_ISA="reference")
    assert done.returncode == 0
    assert done.stdout.startswith("reference kernels (numpy)")


@needs_library
def test_the_environment_forces_an_instruction_set():
    code = "import kernels; print(kernels.build_info().isa)"
    for isa in native.isas():
        assert run(code, PERFUSE_ISA=isa).stdout.strip() == isa
    done = run(code, PERFUSE_ISA="sse9")
    assert done.returncode != 0 and "sse9" in done.stderr and "portable" in done.stderr


@needs_library
@pytest.mark.parametrize(
    ("name", "right"), [("PERFUSE_THREADS", "1 to 256"), ("PERFUSE_SPIN_US", "-1 to 1000000")]
)
def test_the_environment_is_read_strictly(name, right):
    code = "from kernels import native; print(native.lib.num_threads())"
    for value in ("two", "2x", "-2", "1000001", "99999999999999999999"):
        done = run(code, **{name: value})
        assert done.returncode != 0
        assert (
            f"ValueError: num_threads: {name} is '{value}'; it must be from {right}" in done.stderr
        )
    assert run(code, PERFUSE_THREADS="7", PERFUSE_SPIN_US="0").stdout.strip() == "7"


@needs_library
def test_unknown_instruction_sets_are_refused():
    with pytest.raises(ValueError, match="sse9"):
        native.force("sse9")


@needs_library
def test_calls_are_checked():
    lib = native.lib
    with pytest.raises(TypeError, match="takes 4 arguments"):
        lib.nothing(1)
    with pytest.raises(ValueError, match="64 bits"):
        lib.set_num_threads(1 << 80)
    with pytest.raises(ValueError, match="from 1 to 256"):
        lib.set_num_threads(0)
    with pytest.raises(ValueError, match="must be text"):
        lib.force_isa(7)
    with pytest.raises(ValueError, match="at most 4"):
        lib.linear_pack(np.zeros((1, 1, 1, 1, 1), np.float32), "fp32")
    with pytest.raises(ValueError, match="float16"):
        lib.linear_pack(np.zeros((1, 1), np.float16), "fp32")
    with pytest.raises(ValueError, match="handle must be of linear; it is of scan"):
        lib.linear_bytes(lib.scan_create("int8", 1, 1))
    with pytest.raises(TypeError):
        lib.linear_pack(object(), "fp32")


@needs_library
def test_several_python_threads_call_at_once(rng):
    """One has the pool, the others work alone; all are right."""
    weights = linear.pack(normal(rng, 600, 256), "bf16")
    inputs = [normal(rng, 3, 256) for _ in range(4)]
    want = [linear.forward(weights, x) for x in inputs]
    wrong = []

    def work(index):
        got = [linear.forward(weights, inputs[index]) for _ in range(50)]
        wrong.extend(index for out in got if not np.array_equal(out, want[index]))

    threads = [threading.Thread(target=work, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


# A product that is large enough for the pool; `right()` compares with what one thread computes.
PRODUCT = """
import os, sys
import numpy as np
from kernels import linear, native
weights = linear.pack(np.ones((600, 256), np.float32), "bf16")
x = np.ones((2, 256), np.float32)
def right():
    return (linear.forward(weights, x) == 256).all()
"""


@needs_library
def test_changing_the_number_of_threads_does_not_gather_them():
    code = """
for threads in [2, 3, 1, 4] * 10:
    native.set_num_threads(threads)
    assert right()
assert len(os.listdir("/proc/self/task")) == 1 + 1 + 2 + 3
"""
    done = run(PRODUCT + code, PERFUSE_THREADS="1", OPENBLAS_NUM_THREADS="1")
    assert done.returncode == 0, done.stderr


@needs_library
def test_a_forked_child_has_threads_of_its_own():
    code = """
assert right()
child = os.fork()
if child == 0:
    os._exit(0 if right() else 3)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    done = run(PRODUCT + code, PERFUSE_THREADS="2")
    assert done.returncode == 0, done.stderr


def test_probes_measure(isa):
    assert bandwidth.Region(1 << 20).read_ns() > 0
    for kind in KINDS:
        assert bandwidth.peak(kind, 10) > 0
        assert bandwidth.inner_loop(kind, 10) > 0
    with pytest.raises(ValueError, match="num_bytes"):
        bandwidth.Region(1)
    with pytest.raises(ValueError, match="fp8"):
        bandwidth.peak("fp8")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="fp8"):
        bandwidth.inner_loop("fp8")  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_sanitizers_find_nothing():
    """Addresses and undefined behaviour, over all native tests on all instruction sets."""
    if os.environ.get("PERFUSE_SANITIZE") != "1":
        pytest.skip("takes minutes: PERFUSE_SANITIZE=1, or python -m kernels.native.check")
    command = [sys.executable, "-m", "kernels.native.check", "-m", "not slow"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_machine_code_for_amx_is_right():
    """Its instructions are carried out one by one where they trap, on a processor without them."""
    if os.environ.get("PERFUSE_AMX_TRAPS") != "1" or "amx" in native.isas():
        pytest.skip("takes minutes: PERFUSE_AMX_TRAPS=1, or python -m kernels.native.check")
    command = [sys.executable, "-m", "kernels.native.check", "--amx-traps", "-m", "not slow"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
