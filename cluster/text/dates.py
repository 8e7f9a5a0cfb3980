"""What a chat template prints as today."""

from collections.abc import Callable
from datetime import datetime

Clock = Callable[[], datetime]

VIRTUAL_DATE = datetime(2026, 1, 1)


def virtual_date() -> datetime:
    """The same whenever it runs: the prompt, and so all that follows, may depend on it."""
    return VIRTUAL_DATE


def clock_of(world: str) -> Clock:
    """Today of everybody who renders a template in a world of this kind."""
    return virtual_date if world == "virtual" else datetime.now
