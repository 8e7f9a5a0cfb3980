"""Asks a server for its health until its own input ends, then says how long each answer took:
`python -m benchmarks._health_child URL`. A process of its own, so that nothing else holds it up.
"""

import sys
import time
from select import select

import httpx

EVERY_S = 0.02
TIMEOUT_S = 60.0


def main() -> int:
    took_s: list[float] = []
    with httpx.Client(base_url=sys.argv[1], timeout=TIMEOUT_S) as client:
        while not select([sys.stdin], [], [], EVERY_S)[0]:
            began_s = time.monotonic()
            client.get("/health").raise_for_status()
            took_s.append(time.monotonic() - began_s)
    print(" ".join(f"{one:.6f}" for one in took_s))
    return 0


if __name__ == "__main__":
    sys.exit(main())
