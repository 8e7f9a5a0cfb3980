"""What is wrong with a scenario, all of it at once."""

from collections.abc import Sequence


class ScenarioError(ValueError):
    """A scenario, preset or plan that cannot be: one line a problem, in `problems`.

    Each line names where (file and dotted key), the value, and what would be right.
    """

    def __init__(self, title: str, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n  ".join((title, *self.problems)))
