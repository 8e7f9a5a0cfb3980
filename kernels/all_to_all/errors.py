"""What an all-to-all can come to, beside ValueError for what its own caller got wrong."""


class AllToAllError(RuntimeError):
    """Any of these."""


class AttachRefused(AllToAllError):
    """What an address leads to is not the arena it must be; says what differs."""


class RankLost(AllToAllError):
    """Nothing more comes from this rank.

    rank   which
    """

    def __init__(self, rank: int, why: str) -> None:
        super().__init__(f"rank {rank} {why}")
        self.rank = rank


class RankDead(RankLost):
    """Its process has ended, it has closed, or it was said to be dead."""

    def __init__(self, rank: int) -> None:
        super().__init__(rank, "is dead")


class RankCutOff(RankLost):
    """It wrote into this rank's arena what cannot be, and is listened to no more."""

    def __init__(self, rank: int) -> None:
        super().__init__(rank, "wrote what cannot be into the arena; it is cut off")


class RankRefused(RankLost):
    """It has refused these tokens; it lives, and takes others."""

    def __init__(self, rank: int) -> None:
        super().__init__(rank, "has refused the tokens of this dispatch")


class RankLate(RankLost):
    """It had not answered when it was waited for no more; it may live, and take other tokens."""

    def __init__(self, rank: int) -> None:
        super().__init__(rank, "has not answered in time")


class TimedOut(AllToAllError, TimeoutError):
    """Not within the time that the call was given; it may be tried again."""


# A native call's outcome is above these bits, and below them its rank or count.
OUTCOME = 1 << 32
_NOT_YET = 1
# By outcome.
LOST: dict[int, type[RankLate] | type[RankDead] | type[RankCutOff] | type[RankRefused]] = {
    1: RankLate,
    2: RankDead,
    3: RankCutOff,
    4: RankRefused,
}


def time_left(found: int, left_ns: int) -> int:
    """What is left of a timeout: a native wait is cut into slices, so that signals are handled in
    between, and says how long it was. Raises RankLost where it ended for that.
    """
    outcome, number = divmod(found, OUTCOME)
    if outcome != _NOT_YET:
        raise LOST[outcome](number)
    return left_ns - number
