"""What a page store can refuse."""

from workers.errors import PerfuseError


class DamagedPage(PerfuseError):
    """A page was written and cannot be read any more: its bytes have changed since. Writing it
    again heals it.
    """

    code = "damaged_page"


class DamagedFlash(PerfuseError):
    """What the file holds is not what was acknowledged, and no single page can be blamed."""

    code = "damaged_flash"


class FlashFull(PerfuseError):
    """No room: it holds as much as it can, or it is worn out. Nothing has changed."""

    code = "flash_full"
