"""A cluster's hand on one machine: its folder there, the files that were sent, and whether the
others can be reached. One actor a machine, which outlives the nodes on it.
"""

import signal
import socket
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path

import psutil

from cluster.worlds.folder import SHARED_MEMORY, own_folder
from cluster.worlds.machines import files
from cluster.worlds.machines.own_ray import why_unreached
from cluster.worlds.session_processes import end_processes
from cluster.worlds.wire_host import Ground
from workers.host.clock.asking import Asker

# A machine answers at once, or a firewall swallows what was said.
REACH_S = 3.0
CLOCK_TRIES = 8  # datagrams may be lost
INFINIBAND = Path("/sys/class/infiniband")


class Machine:
    """Made on the machine itself; `address` is where the others reach it.

    token          the cluster's secret
    certificates   of the cluster: file name -> content; none: no wire of its shows any
    """

    def __init__(self, address: str, token: str, certificates: Mapping[str, bytes]) -> None:
        self._address = address
        self._stack = ExitStack()
        folder = self._stack.enter_context(own_folder())
        segments = self._stack.enter_context(own_folder(SHARED_MEMORY))
        shown = folder / "certificates" if certificates else None
        if shown is not None:
            shown.mkdir(mode=0o700)
            for name, content in certificates.items():
                (shown / name).touch(mode=0o600)
                (shown / name).write_bytes(content)
        self._ground = Ground(folder, token, shown, segments)
        self._inbox = files.Inbox(folder / "sent")
        self._door: socket.socket | None = None

    def ground(self) -> Ground:
        """What the cluster's nodes share here."""
        return self._ground

    def devices(self) -> str:
        """The network devices that UCX may use: that of our address, and all that are faster."""
        found = [
            name
            for name, known in psutil.net_if_addrs().items()
            if any(each.address == self._address for each in known)
        ]
        if INFINIBAND.is_dir():
            found += [f"{device.name}:1" for device in sorted(INFINIBAND.iterdir())]
        return ",".join(found) or "all"

    # -- Reach -------------------------------------------------------------------------------------

    def listen(self) -> int:
        """Let the others try; returns the port. Raises OSError if our address is not ours."""
        self._door = socket.create_server((self._address, 0))
        return int(self._door.getsockname()[1])

    def unreached(self, others: Mapping[str, int]) -> dict[str, str]:
        """Address -> why it cannot be reached from here; of address -> port those that cannot."""
        found = {}
        for address, port in others.items():
            if error := why_unreached(address, port, REACH_S):
                found[address] = str(error)
        return found

    def hears(self, clock: Asker) -> bool:
        """Whether the cluster's clock answers here."""
        try:
            return bool(clock.ask(CLOCK_TRIES, time.monotonic_ns))
        except OSError:  # nothing can be sent there, or somebody refuses it
            return False

    def listen_no_more(self) -> None:
        if self._door is not None:
            self._door.close()

    # -- Files -------------------------------------------------------------------------------------

    def sees(self, wanted: files.FileSet) -> bool:
        """Whether the same files are here under the same path."""
        return wanted.is_here()

    def receive(self, what: str, piece: files.Piece) -> None:
        """See `Inbox.receive`."""
        self._inbox.receive(what, piece)

    def complete(self, what: str, sent: files.FileSet) -> Path:
        """See `Inbox.complete`."""
        return self._inbox.complete(what, sent)

    # -- The end -----------------------------------------------------------------------------------

    def end_process(self, pid: int | None) -> None:
        """A node's process that nobody could reach for a while, if it is there still; None: nobody
        knows of one.
        """
        if pid is None:
            return
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            if any("ray::" in word for word in process.cmdline()):
                end_processes([process])

    def signal_process(self, pid: int, what: signal.Signals) -> None:
        """To a node's process, if it is there still: what faults do."""
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            if any("ray::" in word for word in process.cmdline()):
                process.send_signal(what)

    def end(self) -> None:
        """Remove what the cluster has here; safe to call twice."""
        self.listen_no_more()
        self._stack.close()
