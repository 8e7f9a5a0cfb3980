"""One layer as sizes: what mixes tokens, and the network behind it."""

from dataclasses import dataclass, replace

from configs.shapes.attention import Full, Latent
from configs.shapes.compressed import Compressed
from configs.shapes.network import Moe, Network
from configs.shapes.state import DeltaNet, Kda, Mamba2, State
from configs.shapes.weight import Weight, vector

Attention = Full | Latent | Compressed
Mixer = Attention | DeltaNet | Kda | Mamba2


@dataclass(frozen=True, slots=True)
class LayerShape:
    """mixer, network   None where a layer has only the other
    gains           of its norms, at its ends      extra   whatever else a token meets
    """

    mixer: Mixer | None
    network: Network | None
    gains: int
    extra: tuple[Weight, ...] = ()

    def weights(self, hidden: int) -> tuple[Weight, ...]:
        mixer = () if self.mixer is None else self.mixer.weights(hidden)
        network = () if self.network is None else self.network.weights(hidden)
        return (*mixer, *network, *vector("norms", self.gains), *self.extra)

    @property
    def attention(self) -> Attention | None:
        """What keeps keys and values; None where nothing does."""
        return self.mixer if isinstance(self.mixer, Full | Latent | Compressed) else None

    @property
    def moe(self) -> Moe | None:
        return self.network if isinstance(self.network, Moe) else None

    def cut(self, heads: int, kv_heads: int, of: int) -> "LayerShape":
        """With so many of `of` heads of its attention, and that share of a state's; a latent stays
        whole.
        """
        mixer, network, share = self.mixer, self.network, (heads, of)
        assert isinstance(mixer, Full | Latent | State)
        cut: Mixer
        if isinstance(mixer, State):
            cut = mixer.cut(share)
        elif isinstance(mixer, Full):
            cut = replace(mixer, heads=heads, kv_heads=kv_heads)
        else:
            cut = replace(mixer, heads=heads)
        return replace(self, mixer=cut, network=None if network is None else network.cut(share))

    def __str__(self) -> str:
        return " · ".join(str(part) for part in (self.mixer, self.network) if part is not None)
