"""A page store on flash: whole pages in, whole pages out, and the wear that this costs.

The device only programs and erases; the map, levelling and reclaiming are the host's, as the OCP
HBF specification leaves them to it (zone remap).
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from configs.flash import life_years
from workers.errors import InvalidRequest, NotFound
from workers.flash.effort import Effort
from workers.flash.errors import DamagedFlash, DamagedPage, FlashFull
from workers.flash.geometry import FlashGeometry
from workers.flash.log import FlashLog, Program
from workers.flash.media import Media
from workers.flash.pages import Kind, ids_max
from workers.flash.recovery import Recovered


class FlashFile:
    """Logical pages `0 .. num_logical - 1` of `page_bytes` each. Made by `open_flash`.

    One thread at a time. It waits for its disk: where `Disk.waits`, an event loop leaves it to a
    thread. After an OSError of the disk it serves nothing more until it is opened again.
    """

    def __init__(self, media: Media, geometry: FlashGeometry, store: int, found: Recovered) -> None:
        self.geometry, self.recovered = geometry, found
        self._log = FlashLog(media, geometry, store, found)
        self._map, self._blocks = found.page_map, found.blocks
        self._is_broken = False

    # ------------------------------------------------------------------------------------- what is

    @property
    def capacity_pages(self) -> int:
        """Logical pages that it can hold; shrinks when blocks wear out."""
        return self._blocks.capacity_pages(self._map.block_live)

    @property
    def num_held(self) -> int:
        return self._map.num_held

    @property
    def num_worn_blocks(self) -> int:
        """Blocks in their last cycle: readable, and never erased to be used again."""
        return self._blocks.num_worn

    @property
    def num_bad_blocks(self) -> int:
        """Blocks out of service."""
        return int(self._blocks.is_bad.sum())

    @property
    def num_programmed(self) -> int:
        """Pages since it was opened, with those that reclaiming and levelling moved."""
        return self._log.num_asked + self._log.num_moved

    @property
    def num_moved(self) -> int:
        return self._log.num_moved

    @property
    def num_asked(self) -> int:
        """Of those, the pages of batches: what was written, and lists of what was discarded."""
        return self._log.num_asked

    @property
    def erases(self) -> list[int]:
        """Of each block, over the file's whole life."""
        return [int(count) for count in self._blocks.erases]

    @property
    def remaining_bytes(self) -> int:
        """What can still be programmed before every block has worn out, if they wear evenly."""
        return self._blocks.remaining_bytes()

    def remaining_years(self, write_bytes_per_s: float) -> float:
        """How long that lasts; of a new device it is `life_years` of all its blocks, spares too.
        What reclaiming and levelling program counts as well. Raises ValueError below 0.
        """
        return life_years(1, self.remaining_bytes, write_bytes_per_s)

    def watched(self) -> Effort:
        """Told from now on of what the device does; whoever asks takes it again and again."""
        if self._log.effort is None:
            self._log.effort = Effort()
        return self._log.effort

    def refusal(self, num_pages: int) -> str:
        """Why so many pages are refused, by the numbers."""
        return self._log.full(num_pages).message

    def held(self) -> list[int]:
        """The logical pages that are written and not discarded, in order."""
        return self._map.held()

    def wear_out(self, share: float, draw: float) -> int:
        """This share of all blocks has no more cycles: see `Blocks.wear_out`."""
        return self._blocks.wear_out(share, draw)

    # ---------------------------------------------------------------------------------- read, write

    def read(self, logical: int) -> bytes:
        """The page as it was last acknowledged. Raises NotFound if it is not written, DamagedPage
        naming page and block if its bytes have changed, InvalidRequest if there is no such page.
        """
        self._check_usable()
        self._check_logical(logical)
        kind, physical, sequence = self._map.find(logical)
        if kind is Kind.NONE:
            raise NotFound(f"logical page {logical} is not written", logical=logical)
        data = self._log.read(logical, physical, sequence) if kind is Kind.DATA else None
        if data is None:
            place = self.geometry.place(physical)
            how = "was damaged before it moved, as noted in" if kind is Kind.LOST else "is damaged:"
            raise DamagedPage(f"logical page {logical} {how} {place}", logical=logical, place=place)
        return data

    def contents(self) -> Iterator[tuple[int, bytes | None]]:
        """All pages held, as they lie, with less reading than one by one: (logical page, its data);
        None of one that is damaged.
        """
        self._check_usable()
        yield from self._log.contents()

    def write(self, pages: Mapping[int, bytes]) -> None:
        """When it returns, all are safe; after a crash before that, either all are or none.

        At most `pages_per_block` at a time, each of `page_bytes`. Raises InvalidRequest, or
        FlashFull stating the numbers; then nothing has changed.
        """
        self._check_usable()
        for logical, data in pages.items():
            self._check_logical(logical)
            if len(data) != self.geometry.page_bytes:
                raise InvalidRequest(
                    f"logical page {logical} is given {len(data)} bytes: pages are written whole, "
                    f"{self.geometry.page_bytes} bytes each"
                )
        if len(pages) > self.geometry.pages_per_block:
            raise InvalidRequest(
                f"a batch of {len(pages)} pages: at most {self.geometry.pages_per_block} at a time"
            )
        num_new = sum(self._map.find(logical)[0] is Kind.NONE for logical in pages)
        if self.num_held + num_new > self.capacity_pages:
            raise self._log.full(len(pages))
        self._batch([(Kind.DATA, (logical,), bytes(data)) for logical, data in pages.items()])

    def trim(self, logicals: Iterable[int]) -> None:
        """Discard them; those that are not written are passed over. Raises as `write` does."""
        self._check_usable()
        wanted = sorted(set(logicals))
        for logical in wanted:
            self._check_logical(logical)
        held = [logical for logical in wanted if self._map.find(logical)[0] is not Kind.NONE]
        most = self.geometry.pages_per_block * ids_max(self.geometry)
        if len(held) > most:
            raise InvalidRequest(f"{len(held)} pages are discarded: at most {most} at a time")
        self._batch(self._log.lists(Kind.TRIM, held))

    def scrub(self) -> list[str]:
        """Read all pages held, and name the places of those that are damaged."""
        found = []
        for logical in self.held():
            try:
                self.read(logical)
            except DamagedPage as error:
                found.append(error.message)
        return found

    # --------------------------------------------------------------------------------------- inside

    def _batch(self, programs: list[Program]) -> None:
        if programs:
            with self._changing():
                self._log.write(programs)

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """What the disk refuses half-way leaves file and map apart."""
        self._is_broken = True
        try:
            yield
        except FlashFull:
            self._is_broken = False
            raise
        self._is_broken = False

    def _check_usable(self) -> None:
        if self._is_broken:
            raise DamagedFlash("the disk failed in the middle of a write: open the file again")

    def _check_logical(self, logical: int) -> None:
        if not 0 <= logical < self.geometry.num_logical:
            raise InvalidRequest(
                f"there is no logical page {logical}: they are 0 .. {self.geometry.num_logical - 1}"
            )
