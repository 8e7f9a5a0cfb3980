"""Where the outputs of one submission wait for whoever asked."""

from cluster.api.output import Output
from cluster.gateway.unread import Waits
from workers.errors import PerfuseError
from workers.host.mailbox import Mailbox

Told = Output | PerfuseError


class Reader:
    """`waits` hears of each output that comes and of each that is read."""

    def __init__(self, mailbox: Mailbox[Told], waits: Waits | None) -> None:
        self.put, self.get_due = mailbox.put, mailbox.get_due
        self._waits = waits

    def came(self, output: Output) -> None:
        if self._waits is None or self._waits.add(output):
            self.put(output)

    def read(self, told: Told) -> Output:
        """Raises what is no output."""
        if isinstance(told, PerfuseError):
            raise told
        if self._waits is not None:
            self._waits.take(told)
        return told
