"""KV between chips that keep it in other forms: blocks of another size, or other numbers.

    prefill, 16 tokens, bf16     decode, 64 tokens, int8
    block 0 ── int8 piece 0 ──▶ ┐
    block 1 ── int8 piece 1 ──▶ ├ block 0
    block 2 ── int8 piece 2 ──▶ │
    block 3 ── int8 piece 3 ──▶ ┘

What travels are pieces of which both ends' blocks are made, in the narrower numbers of both
(`BlockForm.between`): whoever has the wider ones converts. Chips know each other's form since they
met; a message says what it carries where that is neither the receiver's nor the cluster's.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from configs.block_form import BlockForm
from configs.precision import KV_KINDS, KvKind
from configs.slices import Slice
from configs.sliding import Sliding
from configs.states import StateAtEnd
from workers.errors import InvalidRequest
from workers.hardware.work import Work
from workers.kv.pieces import cut, of_layers, places_of, spliced, with_layers
from workers.model.base import ChipModel
from workers.wire.kinds.kv import KvBlocks
from workers.wire.kinds.ranks import KvPart
from workers.wire.roles import Array

# (pieces, of that form, in other numbers) -> the same in these.
Convert = Callable[[Array, BlockForm, KvKind], Array]
# ASSUMED, of each number: it is compared with the largest of its head, or widened, and scaled.
CONVERT_FLOPS = 2


def as_they_are(pieces: Array, _form: BlockForm, _numbers: KvKind) -> Array:
    """Of digests, which stand for keys in any numbers."""
    return pieces


@dataclass(frozen=True, slots=True)
class Kept:
    """How a chip, or a rank of one, keeps its KV.

    cluster       numbers that messages mean where they say none
    token_bytes   of a token, all that is held of it, in each kind of numbers
    planes        of blocks that are bytes (`workers.kv.pieces`)
    num_layers    that are held
    thin_layers   of them, those that thin blocks have too        sliding   None: there are none;
                  or all blocks but a sequence's last are, which comes with its state
    slice_number   which of its form's slices is here
    """

    form: BlockForm
    tier: str
    cluster: KvKind
    token_bytes: Mapping[KvKind, int]
    planes: int = 1
    convert: Convert = as_they_are
    num_layers: int = 1
    thin_layers: tuple[int, ...] = ()
    sliding: Sliding | StateAtEnd | None = None
    slice_number: int = 0

    @property
    def held(self) -> Slice:
        """Which tokens of each block lie here."""
        return Slice(self.slice_number, self.form.slices, self.form.size)

    def crossing(self, other: BlockForm) -> "Crossing":
        """What goes to, or has come from, a chip of that form."""
        return Crossing(self, self.form.between(other), other)


@dataclass(frozen=True, slots=True)
class Crossing:
    """kept     this chip's own     piece   what travels     other   the form at the far end
    is_thin     layers alone that thin blocks have

    Pieces are counted from a sequence's first token on, wherever they lie.
    """

    kept: Kept
    piece: BlockForm
    other: BlockForm
    is_thin: bool = False

    @property
    def thin(self) -> "Crossing":
        """Of what the far end has in thin blocks."""
        return replace(self, is_thin=True)

    def num_thin(self, num_tokens: int) -> int:
        """Leading pieces that are thin at the far end, which goes on after so many tokens."""
        sliding = self.kept.sliding
        if sliding is None:
            return 0
        return self.first(sliding.num_thin(num_tokens, self.other.size))

    @property
    def per_block(self) -> int:
        """Pieces of a block of this chip."""
        return self.kept.form.size // self.piece.size

    @property
    def per_slice(self) -> int:
        """Of them, those that lie here."""
        return self.kept.form.slice_tokens // self.piece.size

    @property
    def converts(self) -> bool:
        return self.piece.numbers != self.kept.form.numbers

    @property
    def is_plain(self) -> bool:
        """Whether blocks travel as they are here."""
        own = BlockForm(self.kept.form.slice_tokens, self.kept.form.numbers)
        return self.piece == own and not self.is_thin

    @property
    def told(self) -> tuple[int | None, KvKind | None, bool | None]:
        """Tokens and numbers of pieces, and that they are thin, as a message says it: nothing where
        they are the far end's own, the cluster's, and whole.
        """
        piece, cluster = self.piece, self.kept.cluster
        return (
            None if piece.size == self.other.slice_tokens else piece.size,
            None if piece.numbers == cluster else piece.numbers,
            True if self.is_thin else None,
        )

    @property
    def piece_bytes(self) -> int:
        """Of one, on a link; where others have slices, of what each sends of so many."""
        return self._bytes(1)(self.piece.numbers) // self.kept.form.slices

    def first(self, other_block: int) -> int:
        """The first piece of a block of the far end."""
        return other_block * (self.other.size // self.piece.size)

    # -- away --------------------------------------------------------------------------------------

    def holding(self, first: int, num: int) -> slice:
        """Which blocks here hold these pieces."""
        return slice(first // self.per_block, -(-(first + num) // self.per_block))

    def taken(self, blocks: Array, places: Sequence[int]) -> Array:
        """The pieces at these places of blocks (`places`), as they travel."""
        if not self.is_plain:
            blocks = cut(blocks, self.per_slice, self.kept.planes)[list(places)]
        if self.is_thin:
            blocks = of_layers(blocks, self.kept.thin_layers, self.kept.num_layers)
        return self._converted(blocks, self.kept.form.numbers, self.piece.numbers)

    def read_work(self, num: int) -> Work:
        """Reading pieces."""
        return self.moving("kv_read", self._bytes(num))

    # -- here --------------------------------------------------------------------------------------

    def places(self, indexes: Sequence[int]) -> tuple[tuple[int, ...], list[int]]:
        """Logical blocks in which these pieces lie, each once; and where in what is here."""
        return places_of(indexes, self.per_block, self.per_slice)

    def check_held(self, indexes: Sequence[int]) -> None:
        """Raises InvalidRequest where a piece is of tokens that lie with another rank."""
        held, begins = self.kept.held, [index * self.piece.size for index in indexes]
        if elsewhere := [begin for begin in begins if not held.holds(begin)]:
            raise InvalidRequest(f"KV of token {elsewhere[0]} came: here are {held}")

    def put_into(self, blocks: Array, places: Sequence[int], pieces: Array) -> Array:
        """Blocks as they are from now on. Raises ValueError where the shape does not fit."""
        pieces = self._converted(pieces, self.piece.numbers, self.kept.form.numbers)
        if self.is_thin:
            old = cut(blocks, self.per_slice, self.kept.planes)[list(places)]
            pieces = with_layers(old, self.kept.thin_layers, self.kept.num_layers, pieces)
        return spliced(blocks, self.per_slice, self.kept.planes, places, pieces)

    def write_work(self, num: int) -> Work:
        """Writing pieces."""
        return self.moving("kv_write", self._bytes(num))

    def _bytes(self, num: int) -> Callable[[KvKind], int]:
        kept, tokens = self.kept, num * self.piece.size
        if isinstance(kept.sliding, StateAtEnd):  # a token leaves nothing else in other layers
            states = 0 if self.is_thin else num * kept.sliding.num_bytes
            return lambda kind: tokens * kept.token_bytes[kind] + states
        if not self.is_thin:
            return lambda kind: tokens * kept.token_bytes[kind]
        layers, of = len(kept.thin_layers), kept.num_layers  # layers are alike
        return lambda kind: tokens * kept.token_bytes[kind] * layers // of

    def moving(self, what: str, bytes_in: Callable[[KvKind], int]) -> Work:
        """Of something that has so many bytes in each kind of numbers; `what` is "kv_read" or
        "kv_write". What is converted lies in the tier in between: it is written once and read once
        in the numbers that travel.
        """
        tier, own = self.kept.tier, bytes_in(self.kept.form.numbers)
        between = bytes_in(self.piece.numbers) if self.converts else 0
        read, written = (own, 0) if what == "kv_read" else (0, own)
        flops = {"fp32": CONVERT_FLOPS * bytes_in("fp32") // 4} if self.converts else {}
        reads, writes = read + between, written + between
        return Work.of(
            what,
            flops=flops,
            reads={tier: reads} if reads else {},
            writes={tier: writes} if writes else {},
        )

    def _converted(self, pieces: Array, numbers: KvKind, to: KvKind) -> Array:
        if numbers == to:
            return pieces
        return self.kept.convert(pieces, BlockForm(self.piece.size, numbers), to)


def came(kept: Kept, content: KvBlocks | KvPart) -> Crossing:
    """As a message says that its pieces were sent. Raises InvalidRequest where no blocks here are
    made of such.
    """
    own = kept.form.slice_tokens
    size = own if content.size is None else content.size
    if not 1 <= size <= own or own % size:
        raise InvalidRequest(f"pieces of {size} tokens came: blocks here have {own}")
    kind = next((k for k in KV_KINDS if k == (content.numbers or kept.cluster)), None)
    if kind is None:
        raise InvalidRequest(f"KV came in {content.numbers!r}: known are {', '.join(KV_KINDS)}")
    is_thin = isinstance(content, KvBlocks) and bool(content.thin)
    if is_thin and kept.sliding is None:
        raise InvalidRequest("thin pieces came: all blocks here are whole")
    form = BlockForm(size, kind)
    return Crossing(kept, form, form, is_thin)


@dataclass(frozen=True, slots=True)
class Forms:
    """kept   how this chip, or rank of one, keeps its KV        of   chip -> how that one does"""

    kept: Kept
    of: Mapping[str, BlockForm]

    def to(self, chip: str) -> Crossing:
        """What goes there."""
        return self.kept.crossing(self.of.get(chip, self.kept.form))


def alike(model: ChipModel) -> Forms:
    """Where all chips keep KV as this model does, in whatever numbers."""
    form = BlockForm(model.block_size, "fp32")
    token_bytes = dict.fromkeys(KV_KINDS, model.block_bytes // model.block_size)
    return Forms(Kept(form, model.kv_tier, form.numbers, token_bytes), {})
