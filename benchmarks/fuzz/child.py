"""One target under libFuzzer, in a process of its own: `python -m benchmarks.fuzz.child`.

    TARGET FOLDER SECONDS    FOLDER/corpus is read and grows, FOLDER/found has what was found

Needs the extra `fuzz`. What a run found new it leaves in the corpus; whoever started it decides
what is kept.
"""

import sys
from pathlib import Path

import atheris

from benchmarks.fuzz.mutating import changed

# What is followed: our readers. Libraries in native code are not seen into.
FOLLOWED = ("cluster", "configs", "protos", "workers")
INPUT_BYTES_MAX = 4096
# A hang is told by CPU seconds (`target.CPU_S_MAX`) where the reader comes back, else by this.
HANG_S, MEMORY_MB = 60, 3000


def main() -> None:
    name, folder, seconds = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    with atheris.instrument_imports(include=list(FOLLOWED), enable_loader_override=False):
        from benchmarks.fuzz.targets import load_target

        target = load_target(name)
    for data in target.seeds():  # what is loaded when it is first needed
        target.accepts(data)
    words = folder / "words"
    words.write_text("".join(_line(word) for word in target.words), encoding="ascii")
    found = folder / "found"
    found.mkdir(exist_ok=True)
    options = {
        "max_total_time": seconds, "timeout": HANG_S, "rss_limit_mb": MEMORY_MB,
        "max_len": INPUT_BYTES_MAX, "len_control": 20, "dict": words, "print_final_stats": 1,
        "artifact_prefix": f"{found}/", "verbosity": 1,
    }  # fmt: skip
    flags = [f"-{key}={value}" for key, value in options.items()]
    texts = [word for word in target.words if isinstance(word, str)]

    def mutated(data: bytes, most: int, seed: int) -> bytes:
        said = changed(data, texts, seed, most) if seed % 2 else None
        return atheris.Mutate(data, most) if said is None else said

    command = [sys.argv[0], *flags, str(folder / "corpus")]
    atheris.Setup(command, target.accepts, custom_mutator=mutated)
    atheris.Fuzz()


def _line(word: str | bytes) -> str:
    """A dictionary's: the bytes in quotation marks."""
    data = word.encode() if isinstance(word, str) else word
    return '"' + "".join(f"\\x{byte:02x}" for byte in data) + '"\n'


if __name__ == "__main__":
    main()
