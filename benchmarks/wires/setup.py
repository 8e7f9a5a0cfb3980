"""Makes the environment in which MPICH runs beside us: `python -m benchmarks.wires.setup`.

Into build/wires/mpi, less than a minute; what is there and of these versions is kept.
"""

import argparse
import shlex
import sys

from benchmarks.environments import SetupFailed, Steps, make_environment
from benchmarks.wires.all_to_all import MPI_PYTHON

VERSIONS = ("mpich==5.0.2", "mpi4py==4.1.2", "numpy==2.4.6")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--pip-arguments", default="", metavar="TEXT", help="more arguments for pip install"
    )
    given = shlex.split(parser.parse_args().pip_arguments)
    folder = MPI_PYTHON.parents[1]
    steps = Steps(MPI_PYTHON, folder.parent / "setup-mpi.log", given)
    try:
        make_environment(
            folder, VERSIONS, steps, lambda steps: steps.pip(", ".join(VERSIONS), *VERSIONS)
        )
    except SetupFailed as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
