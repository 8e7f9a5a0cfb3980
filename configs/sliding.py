"""Room for KV of a model some of whose layers have a window: what lies behind the window of all of
them is given back.

A block holds so many tokens of all layers. Of blocks behind the window of the next query windowed
layers are given back, as by the hybrid KV cache manager of vLLM; such a block is `thin`:

    block        0      1      2      3      4
    full      [####] [####] [####] [####] [#   ]
    windowed    -      -   [####] [####] [#   ]       the window begins in block 2

Where windows differ, the widest counts for all.
"""

from dataclasses import dataclass

from configs.attention import Window
from configs.model_config import ModelConfig


@dataclass(frozen=True, slots=True)
class Sliding:
    """window        the widest, of the layers that have one
    layers, windowed   how many there are, and how many of them have one
    """

    window: Window
    layers: int
    windowed: int

    @property
    def thin(self) -> int:
        """What a thin block takes, where a whole one takes `layers`."""
        return self.layers - self.windowed

    def num_thin(self, num_tokens: int, block_size: int) -> int:
        """Leading blocks that no windowed layer meets any more once so many tokens are there."""
        return int(self.window.first(num_tokens)) // block_size

    def whole_most(self, block_size: int) -> int:
        """Blocks of a decoding sequence that are whole at most: its window may begin with the last
        token of a block.
        """
        return -(-(self.window.tokens - 1) // block_size) + 1

    def pages(self, num_tokens: int, block_size: int) -> int:
        """What so many tokens of a decoding sequence take at most, in layers of blocks."""
        blocks = -(-num_tokens // block_size)
        behind = max(0, blocks - self.whole_most(block_size))
        return self.layers * blocks - self.windowed * behind

    def num_ids(self, num_blocks: int, most_blocks: int) -> int:
        """Of blocks that may be there at once, whole or thin, in the room of so many whole ones;
        `most_blocks` is what all sequences at once could have.
        """
        room = num_blocks * self.layers
        return num_blocks + min(most_blocks, room // self.thin if self.thin else most_blocks)


def sliding_of(config: ModelConfig) -> Sliding | None:
    """None where all layers keep all keys."""
    found = [config.window_of(layer) for layer in range(config.num_layers)]
    windows = [window for window in found if window is not None]
    if not windows:
        return None
    widest = max(windows, key=lambda window: (window.tokens, window.chunked))
    return Sliding(widest, config.num_layers, len(windows))
