"""What is wrong with a scenario, all of it at once."""

from collections.abc import Sequence


class ScenarioError(ValueError):
    """A scenario, preset or plan that cannot be: one line a problem, in `problems`.

    Each line names where (file and dotted key), the value, and what would be right.
    """

    def __init__(self, title: str, problems: Sequence[str]) -> None:
        self.title, self.problems = title, tuple(problems)
        super().__init__("\n  ".join((title, *self.problems)))

    def __reduce__(self) -> tuple[type["ScenarioError"], tuple[str, tuple[str, ...]]]:
        """So that one process may tell another."""
        return type(self), (self.title, self.problems)
