"""A rolling restart as operators ask for it. Who holds the cluster together looks here whether one
is wanted, does it, and tells how far it is; nothing of the cluster restarts nodes by itself.
"""

from dataclasses import dataclass, field
from typing import Any

from workers.errors import InvalidRequest, NotFound


@dataclass
class Restarts:
    """status   "none" has been asked for; "wanted", "running", "done" or "failed"
    steps      what has been done so far, and is being done
    """

    status: str = "none"
    steps: list[str] = field(default_factory=list)
    error: str = ""
    _is_tended: bool = False

    def shown(self) -> dict[str, Any]:
        told = {"object": "rolling_restart", "status": self.status, "steps": list(self.steps)}
        return {**told, "error": self.error} if self.error else told

    def want(self) -> dict[str, Any]:
        """Raises NotFound where nobody would do it, and InvalidRequest while one goes on."""
        if not self._is_tended:
            raise NotFound(
                "nobody here restarts nodes: `perfuse serve` does, in the worlds local and process"
            )
        if self.status in ("wanted", "running"):
            raise InvalidRequest(f"a rolling restart is {self.status} already: wait for its end")
        self.status, self.error = "wanted", ""
        self.steps.clear()
        return self.shown()

    # -- whoever restarts nodes --------------------------------------------------------------------

    def take(self) -> bool:
        """Whether one is wanted; it runs from now on."""
        self._is_tended = True
        if self.status != "wanted":
            return False
        self.status = "running"
        return True

    def step(self, what: str) -> None:
        self.steps.append(what)

    def end(self, error: str) -> None:
        """`error`: "" where all have restarted."""
        self.status, self.error = "failed" if error else "done", error
