"""How worn a flash file is, in a few figures."""

from dataclasses import dataclass, replace

from workers.flash.flash_file import FlashFile


@dataclass(frozen=True, slots=True)
class Wear:
    """num_blocks   all of them, spares too
    num_worn, num_bad   in their last cycle; out of service
    erases_min, _mean, _max   of a block, over the file's whole life
    asked_bytes, programmed_bytes   since it was opened, or since the one before (`since`): what was
                 written and discarded, and with what reclaiming and levelling added
    span_ns      for so long
    remaining_bytes   that can still be programmed
    capacity_bytes, new_bytes   what it can hold now, and when it was new
    num_damaged  pages that could not be read since it was opened
    num_found, num_hits   KV blocks that were there when it was opened, and that were served since
    """

    num_blocks: int
    num_worn: int
    num_bad: int
    erases_min: int
    erases_mean: float
    erases_max: int
    asked_bytes: int
    programmed_bytes: int
    span_ns: int
    remaining_bytes: int
    capacity_bytes: int
    new_bytes: int
    num_damaged: int
    num_found: int
    num_hits: int

    @property
    def amplification(self) -> float:
        """Programmed for each byte that was asked for; 1 if none was."""
        return self.programmed_bytes / self.asked_bytes if self.asked_bytes else 1.0

    @property
    def programmed_bytes_per_s(self) -> float:
        return self.programmed_bytes * 1e9 / self.span_ns if self.span_ns else 0.0

    def since(self, before: "Wear | None") -> "Wear":
        """Of the time from `before` on; one that was opened again meanwhile began at 0."""
        if before is None or before.asked_bytes > self.asked_bytes:
            return self
        return replace(
            self,
            asked_bytes=self.asked_bytes - before.asked_bytes,
            programmed_bytes=self.programmed_bytes - before.programmed_bytes,
            span_ns=self.span_ns - before.span_ns,
        )


def wear_of(
    flash: FlashFile, span_ns: int, *, num_damaged: int, num_found: int, num_hits: int
) -> Wear:
    """`span_ns`: since it was opened. What the flash itself does not know is given."""
    geometry, erases = flash.geometry, flash.erases
    return Wear(
        num_blocks=geometry.num_blocks,
        num_worn=flash.num_worn_blocks,
        num_bad=flash.num_bad_blocks,
        erases_min=min(erases),
        erases_mean=sum(erases) / len(erases),
        erases_max=max(erases),
        asked_bytes=flash.num_asked * geometry.page_bytes,
        programmed_bytes=flash.num_programmed * geometry.page_bytes,
        span_ns=span_ns,
        remaining_bytes=flash.remaining_bytes,
        capacity_bytes=flash.capacity_pages * geometry.page_bytes,
        new_bytes=geometry.num_logical * geometry.page_bytes,
        num_damaged=num_damaged,
        num_found=num_found,
        num_hits=num_hits,
    )
