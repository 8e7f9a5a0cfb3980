"""Makes the Python code of every .proto file here: `python -m protos.generate`, or `--check` to
compare only.

Generated code is committed, so that running Perfuse needs no compiler; `--check` fails if it is not
what the .proto files give.
"""

import argparse
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

PROTOS = Path(__file__).resolve().parent
ROOT = PROTOS.parent


def generate(folder: Path) -> list[Path]:
    """Compile all .proto files into `folder`; returns the generated files, relative to it, sorted.

    The import root is the repository, so that the generated module is
    protos.perfuse.v1.envelope_pb2. Raises RuntimeError if the compiler refuses; it has printed why.
    """
    from grpc_tools import protoc  # a tool of developers: not installed where Perfuse only runs

    sources = sorted(str(path.relative_to(ROOT)) for path in PROTOS.rglob("*.proto"))
    arguments = ["protoc", f"--proto_path={ROOT}", f"--python_out={folder}", f"--pyi_out={folder}"]
    arguments.append(f"--proto_path={files('grpc_tools') / '_proto'}")
    if protoc.main([*arguments, *sources]) != 0:
        raise RuntimeError(f"protoc refused {', '.join(sources)}: see its message above")
    return sorted(path.relative_to(folder) for path in (folder / "protos").rglob("*_pb2.py*"))


def differences(folder: Path) -> list[str]:
    """How the committed code differs from what the .proto files give; generates into `folder`, an
    empty one.
    """
    made = generate(folder)
    found = []
    for name in made:
        if not (ROOT / name).exists():
            found.append(f"{name} is missing")
        elif (ROOT / name).read_bytes() != (folder / name).read_bytes():
            found.append(f"{name} is not what its .proto gives")
    committed = sorted(path.relative_to(ROOT) for path in PROTOS.rglob("*_pb2.py*"))
    return found + [f"{name} has no .proto" for name in committed if name not in made]


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m protos.generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    if not parser.parse_args(arguments).check:
        for name in generate(ROOT):
            print(name)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        found = differences(Path(folder))
    for line in found:
        print(f"{line}: run python -m protos.generate", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
