"""Run the golden scenarios, print which records changed, and keep what they do now.

    python -m tests.golden [--check] [NAME ...]

--check   only print; exit 1 if anything changed
"""

import sys

from tests.golden.difference import differences
from tests.golden.recording import TRACES, Recording
from tests.golden.scenarios import SCENARIOS


def main(arguments: list[str]) -> int:
    check = "--check" in arguments
    names = [name for name in arguments if name != "--check"] or list(SCENARIOS)
    if unknown := [name for name in names if name not in SCENARIOS]:
        print(f"no golden scenario {unknown[0]!r}; there are: {', '.join(SCENARIOS)}")
        return 2
    num_changed = 0
    for name in names:
        new = Recording.of(name)
        is_known = (TRACES / f"{name}.jsonl.xz").exists()
        changes = differences(Recording.read(name), new) if is_known else ["new"]
        num_changed += bool(changes)
        print(f"{name}: {len(new.rows):,} records, {'changed' if changes else 'as before'}")
        for line in changes:
            print(f"  {line}")
        if changes and not check:
            new.write(name)
    return 1 if check and num_changed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
