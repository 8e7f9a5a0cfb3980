"""Draws docs/architecture.svg: `python docs/draw_architecture.py`. Plain SVG, no library.

The page is 1000 units wide, which is about what a README shows. Boxes are placed by hand: a picture
of eleven machines reads better that way than any layout program makes it.
"""

from dataclasses import dataclass, field
from html import escape
from pathlib import Path

OUT = Path(__file__).with_name("architecture.svg")
WIDTH, HEIGHT = 1000, 862

FONT = "font-family='DejaVu Sans, Verdana, Helvetica, Arial, sans-serif'"
INK, SOFT, PAPER, LINE = "#1f2933", "#5b6775", "#ffffff", "#7b8794"
# Fill and edge of each layer; the same colours mark its machines.
CLUSTER = ("#e3edfb", "#3b6fb6")
WORKERS = ("#e4f4e8", "#3a8f57")
BASE = ("#fdf1dc", "#b9822b")
PLAIN = ("#f4f5f7", "#9aa5b1")

Colours = tuple[str, str]


@dataclass
class Picture:
    """Shapes in the order in which they are painted; labels go on top of all of them."""

    shapes: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)

    def box(self, x: int, y: int, w: int, h: int, colours: Colours, dashed: bool = False) -> None:
        fill, edge = colours
        dash = " stroke-dasharray='5 4'" if dashed else ""
        self.shapes.append(
            f"<rect x='{x}' y='{y}' width='{w}' height='{h}' rx='8' fill='{fill}' "
            f"stroke='{edge}' stroke-width='1.5'{dash}/>"
        )

    def text(
        self, x: int, y: int, line: str, size: int = 13, bold: bool = False, colour: str = INK,
        anchor: str = "middle",
    ) -> None:  # fmt: skip
        weight = " font-weight='bold'" if bold else ""
        self.labels.append(
            f"<text x='{x}' y='{y}' font-size='{size}' fill='{colour}' "
            f"text-anchor='{anchor}'{weight}>{escape(line)}</text>"
        )

    def machine(
        self, x: int, y: int, w: int, h: int, colours: Colours, name: str, *lines: str
    ) -> None:
        """A node: its name, and below it who works there and on what."""
        self.box(x, y, w, h, colours)
        self.text(x + w // 2, y + 22, name, 15, bold=True)
        for number, line in enumerate(lines):
            self.text(x + w // 2, y + 41 + 17 * number, line, 12, colour=SOFT)

    def arrow(self, *points: tuple[int, int], both: bool = False) -> None:
        path = " ".join(f"{x},{y}" for x, y in points)
        start = " marker-start='url(#tail)'" if both else ""
        self.shapes.append(
            f"<polyline points='{path}' fill='none' stroke='{LINE}' stroke-width='1.6' "
            f"marker-end='url(#head)'{start}/>"
        )

    def line(self, start: tuple[int, int], end: tuple[int, int]) -> None:
        self.shapes.append(
            f"<line x1='{start[0]}' y1='{start[1]}' x2='{end[0]}' y2='{end[1]}' "
            f"stroke='{LINE}' stroke-width='1.6'/>"
        )

    def message(self, x: int, y: int, line: str) -> None:
        """The name of a message, on a scrap of paper so that the arrow does not strike it out."""
        width = round(6.6 * len(line)) + 10
        self.labels.append(
            f"<rect x='{x - width // 2}' y='{y - 12}' width='{width}' height='17' rx='3' "
            f"fill='{PAPER}' fill-opacity='0.94'/>"
        )
        self.text(x, y + 1, line, 12)

    def svg(self) -> str:
        arrow = f"<path d='M0,0 L9,4.5 L0,9 z' fill='{LINE}'/>"
        tail = f"<path d='M9,0 L0,4.5 L9,9 z' fill='{LINE}'/>"
        size = "markerWidth='9' markerHeight='9' markerUnits='userSpaceOnUse' orient='auto'"
        return "\n".join(
            (
                f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {HEIGHT}' "
                f"width='{WIDTH}' height='{HEIGHT}' {FONT} role='img'>",
                "<title>Perfuse: the default cluster, its messages and its layers</title>",
                f"<defs><marker id='head' refX='8' refY='4.5' {size}>{arrow}</marker>",
                f"<marker id='tail' refX='1' refY='4.5' {size}>{tail}</marker></defs>",
                f"<rect width='{WIDTH}' height='{HEIGHT}' fill='{PAPER}'/>",
                *self.shapes,
                *self.labels,
                "</svg>\n",
            )
        )


def draw_users(picture: Picture) -> None:
    picture.machine(20, 20, 260, 52, PLAIN, "openai client, curl", "HTTP: /v1/chat/completions …")
    picture.machine(310, 20, 260, 52, PLAIN, "workload", "closed loop, Poisson, gamma, trace")
    picture.text(
        785, 40, "A box is a machine; an arrow between machines is a message", 12, colour=SOFT
    )
    picture.text(
        785, 57, "on an emulated link: latency, and bytes that share it fairly.", 12, colour=SOFT
    )


def draw_machines(picture: Picture) -> None:
    picture.machine(20, 124, 260, 64, CLUSTER, "gateway", "OpenAI API, usage, metrics")
    picture.text(150, 182, "host-cpu", 12, colour=SOFT)
    picture.machine(420, 124, 260, 64, CLUSTER, "router", "a pure machine and its journal")
    picture.text(550, 182, "host-cpu", 12, colour=SOFT)
    picture.machine(820, 112, 160, 82, WORKERS, "hbf-0", "memory server", "passages: flash")
    picture.text(900, 187, "KV pool: DDR", 12, colour=SOFT)
    picture.machine(820, 208, 160, 82, WORKERS, "pnm-0", "memory server", "scan near LPDDR")
    picture.text(900, 283, "KV pool: LPDDR", 12, colour=SOFT)
    picture.machine(150, 330, 230, 82, WORKERS, "prefill-0", "prompt in chunks, first token")
    picture.text(265, 388, "attention, gate, paged KV", 12, colour=SOFT)
    picture.text(265, 404, "H100-class", 12, colour=SOFT)
    picture.box(562, 322, 250, 82, WORKERS)
    picture.machine(552, 330, 250, 82, WORKERS, "decode-0, decode-1", "a token a step, batched")
    picture.text(677, 388, "attention, gate, paged KV", 12, colour=SOFT)
    picture.text(677, 404, "H100-class", 12, colour=SOFT)
    for shard in range(4):
        held = f"experts {2 * shard}, {2 * shard + 1}"
        picture.machine(150 + 166 * shard, 510, 152, 68, WORKERS, f"experts-{shard}", held)
        picture.text(226 + 166 * shard, 568, "of every layer", 12, colour=SOFT)


def draw_messages(picture: Picture) -> None:
    picture.arrow((150, 72), (150, 124))
    picture.arrow((440, 72), (440, 98), (230, 98), (230, 124))
    picture.arrow((280, 142), (420, 142))
    picture.message(350, 143, "submit")
    picture.arrow((420, 172), (280, 172))
    picture.message(350, 173, "outputs")
    picture.arrow((680, 146), (820, 146), both=True)
    picture.message(750, 147, "search")
    picture.arrow((680, 168), (760, 168), (760, 240), (820, 240), both=True)
    picture.message(760, 205, "search")
    picture.arrow((460, 188), (460, 240), (230, 240), (230, 330))
    picture.message(230, 282, "prefill")
    picture.arrow((320, 330), (320, 262), (490, 262), (490, 188))
    picture.message(400, 263, "first token")
    picture.arrow((590, 188), (590, 322))
    picture.message(590, 258, "reserve")
    picture.arrow((665, 322), (665, 188))
    picture.message(665, 232, "tokens")
    picture.arrow((380, 358), (552, 358))
    picture.message(466, 359, "kv_blocks")
    picture.arrow((380, 388), (552, 388))
    picture.message(466, 389, "start")
    picture.arrow((345, 330), (345, 305), (880, 305), (880, 290), both=True)
    picture.message(450, 306, "pool_get, pool_put")
    # One bus for the all-to-all: each chip talks to each shard.
    for chip_x in (265, 677):
        picture.arrow((chip_x, 470), (chip_x, 412))
    picture.line((226, 470), (724, 470))
    for shard in range(4):
        picture.arrow((226 + 166 * shard, 470), (226 + 166 * shard, 510))
    picture.message(471, 433, "dispatch: each token to the shards that hold its experts")
    picture.message(471, 452, "combine: weighted partial sums back, in every layer")


def draw_node(picture: Picture) -> None:
    picture.box(20, 604, 960, 110, PLAIN, dashed=True)
    picture.text(36, 626, "Under every box: a Node", 14, bold=True, anchor="start")
    parts = "clock · tasks · port · members · exchange · hardware · disk · rng · trace"
    picture.text(246, 626, parts, 13, anchor="start")
    for number, line in enumerate(
        (
            "Under every Node: a Host, in which alone worlds differ. A node that died may come "
            "back, under the next epoch.",
            "virtual: all nodes in one process, the clock jumps, messages in memory; same seed, "
            "same trace hash",
            "process: the same objects on the wall clock, one compute thread, no Ray, no gRPC",
            "local: each node a process (Ray actor), wall clock times dilation, frames by gRPC; "
            "Ray carries no token",
        )
    ):
        picture.text(36, 648 + 18 * number, line, 12, colour=SOFT, anchor="start")


def draw_layers(picture: Picture) -> None:
    picture.machine(
        20, 730, 470, 52, CLUSTER, "cluster",
        "api · router · gateway · text · retrieval · workload · faults · worlds · cli",
    )  # fmt: skip
    picture.machine(
        510, 730, 470, 52, WORKERS, "workers",
        "host · hardware · wire · chip · kv · experts · memory · model",
    )  # fmt: skip
    picture.arrow((490, 756), (510, 756))
    picture.machine(20, 800, 306, 52, BASE, "configs", "scenario, devices, links, model, plan")
    picture.machine(346, 800, 308, 52, BASE, "protos", "the envelope on the wire")
    picture.machine(674, 800, 306, 52, BASE, "kernels", "hot operations, native or plain")
    for x in (173, 600, 827):
        picture.arrow((x, 782), (x, 800))


def drawn() -> str:
    picture = Picture()
    for draw in (draw_users, draw_machines, draw_messages, draw_node, draw_layers):
        draw(picture)
    return picture.svg()


if __name__ == "__main__":
    OUT.write_text(drawn(), encoding="utf-8")
