"""Makes the clients' environments: `python -m benchmarks.clients.setup [--only openai litellm]`.

Everything goes to out/clients/. What is there and of the right versions is kept; a first run takes
a quarter of an hour and 5 GB, most of it the load generators'. Packages come from pip's own index.
A client that cannot be installed here (no network, no Python that it asks for) is left out with a
word that says why; the bench then shows it as left out, never as passed.
"""

import argparse
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.clients.paths import CLIENTS, python_of
from benchmarks.environments import SetupFailed, Steps, make_environment

# A client's packages, itself first; what is installed is compared with these, so that a new version
# is installed.
VERSIONS = {
    "openai": ("openai==3.57.0",),
    "litellm": ("litellm==1.110.2",),
    "langchain-openai": ("langchain-openai==1.7.4", "transformers==5.24.0"),
    "llama-index": (
        "llama-index-llms-openai-like==0.8.1",
        "llama-index-embeddings-openai-like==0.4.0",
    ),
    "instructor": ("instructor==1.17.0",),
    "openai-agents": ("openai-agents==0.24.0",),
    "guidellm": ("guidellm==0.8.1", "torch==2.13.0"),
    "aiperf": ("aiperf==0.13.0",),
    "inference-perf": ("inference-perf==0.7.0",),
}
# Clients that ask for a later Python than ours.
NEEDS_PYTHON = {"inference-perf": (3, 12)}
TOO_NEW = (3, 14)  # aiperf, and wheels of some requirements
TORCH_ADVICE = (
    "guidellm needs torch; its build for CPUs is not on every index, and PyTorch keeps its own: "
    '--pip-arguments="--extra-index-url URL"'
)


def interpreters() -> Iterator[Path]:
    """Every Python at hand: this one, those on the PATH, those of pyenv."""
    yield Path(sys.executable)
    for name in ("python3.12", "python3.13", "python3"):
        if found := shutil.which(name):
            yield Path(found)
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    yield from sorted(versions.glob("3.1[2-9].*/bin/python"))


def interpreter_for(client: str) -> Path | None:
    """The first Python that is late enough for a client; a shim that runs nothing is none."""
    needed = NEEDS_PYTHON.get(client, (3, 11))
    enough = f"import sys; sys.exit(not {needed} <= sys.version_info[:2] < {TOO_NEW})"
    for candidate in interpreters():
        done = subprocess.run([candidate, "-c", enough], capture_output=True)
        if done.returncode == 0:
            return candidate
    return None


def install(client: str, pip_arguments: Sequence[str]) -> str:
    """Make a client's environment; why it cannot be had here, or nothing."""
    interpreter = interpreter_for(client)
    if interpreter is None:
        needed = ".".join(map(str, NEEDS_PYTHON.get(client, (3, 11))))
        return f"{client} asks for Python {needed} or newer, and none is here"
    versions = VERSIONS[client]
    steps = Steps(python_of(client), CLIENTS / "logs" / f"setup-{client}.log", pip_arguments)

    def packages(steps: Steps) -> None:
        advice = "It needs a network with pip's index." if client != "guidellm" else TORCH_ADVICE
        steps.pip(", ".join(versions), "--prefer-binary", *versions, advice=advice)

    try:
        make_environment(CLIENTS / client, versions, steps, packages, interpreter)
    except SetupFailed as error:
        return str(error)
    return ""


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=list(VERSIONS), default=list(VERSIONS))
    parser.add_argument(
        "--pip-arguments", default="", metavar="TEXT", help="more arguments for pip install"
    )
    options = parser.parse_args()
    for client in options.only:
        if problem := install(client, shlex.split(options.pip_arguments)):
            print(f"left out: {problem}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
