"""Two or three rings a node: places in a grid whose rows close, and ways through them.

Routes go by dimension (e-cube: Dally and Seitz, IEEE ToC 1987): all of the first, then of the next,
each the shorter way round; where both are as short, up. Others of the same length turn the order of
the dimensions, and take the other way round where that is as short.
"""

from collections.abc import Iterator, Sequence
from itertools import permutations, product
from math import prod

from cluster.network.errors import NetworkProblem, TooSmall
from cluster.network.graph import LINKS_MOST, Graph, Hops
from configs.schema.link import LinkSpec


def dims_for(num_nodes: int, num_dims: int = 2) -> tuple[int, ...]:
    """As nearly square as it can be, then with the fewest places that do."""
    shapes = _shapes(max(1, num_nodes), num_dims)
    return min(shapes, key=lambda dims: (sum(dims), prod(dims), dims))


def _shapes(num_nodes: int, num_dims: int) -> Iterator[tuple[int, ...]]:
    """Ascending sizes that do; the last of them is as small as it can be."""
    if num_dims == 1:
        yield (num_nodes,)
        return
    first = 1
    while first**num_dims <= num_nodes or first == 1:
        for rest in _shapes(-(-num_nodes // first), num_dims - 1):
            yield (first, *rest)
        first += 1
    yield (first,) * num_dims


def place_of(number: int, dims: Sequence[int]) -> tuple[int, ...]:
    """Coordinates; the last dimension goes fastest."""
    place = []
    for size in reversed(dims):
        number, at = divmod(number, size)
        place.append(at)
    return tuple(reversed(place))


class Torus:
    """The graph of one, and its routes as vertices.

    Node i is at place i; places without a node are routers, `place-<coordinates>`.

    places   vertices, place by place
    """

    def __init__(
        self, nodes: Sequence[str], link: LinkSpec, dims: Sequence[int] | None = None
    ) -> None:
        """Raises TooSmall, or NetworkProblem where there are too many places, or one without a
        node is called as a node elsewhere.
        """
        self.dims = tuple(dims) if dims is not None else dims_for(len(nodes))
        if (places := prod(self.dims)) < len(nodes):
            would = _enlarged(self.dims, len(nodes))
            text = f"{places} places"
            raise TooSmall("dims", list(self.dims), text, len(nodes), f"dims: {list(would)}")
        if (links := places * sum(min(2, size - 1) for size in self.dims)) > LINKS_MOST:
            raise NetworkProblem(
                f"dims: is {list(self.dims)}: that makes {links:,} links, one way each, and there "
                f"can be {LINKS_MOST:,}: dims: {list(dims_for(len(nodes)))} would do"
            )
        self._vertex = {
            place: nodes[i] if i < len(nodes) else "place-" + "-".join(map(str, place))
            for i, place in enumerate(product(*map(range, self.dims)))
        }
        self.places = tuple(self._vertex.values())
        self._place = {vertex: place for place, vertex in self._vertex.items()}
        if len(self._place) < places:
            taken = next(vertex for vertex in nodes if self.places.count(vertex) > 1)
            raise NetworkProblem(
                f"type: a torus has a place {taken!r}, and so is a node called: rename its group"
            )
        hops = Hops(link)
        for place, vertex in self._vertex.items():
            for axis, size in enumerate(self.dims):
                for step in (1, -1) if size > 2 else (1,) * (size == 2):
                    hops.add(vertex, self._vertex[_moved(place, axis, step, size)])
        switches = self.places[len(nodes) :]
        self.graph = Graph({node: node for node in nodes}, hops.by_name, switches, forwards=True)

    def routes(self, source: str, target: str) -> Iterator[tuple[str, ...]]:
        """Shortest ones as vertices, the e-cube route first."""
        begin, end = self._place[source], self._place[target]
        choices = [
            _ways(there - here, size)
            for here, there, size in zip(begin, end, self.dims, strict=True)
        ]
        told = set[tuple[str, ...]]()
        for steps in product(*choices):
            for order in permutations(range(len(self.dims))):
                route = self._walk(begin, steps, order)
                if route not in told:
                    told.add(route)
                    yield route

    def _walk(
        self, place: tuple[int, ...], steps: Sequence[int], order: Sequence[int]
    ) -> tuple[str, ...]:
        route = [self._vertex[place]]
        for axis in order:
            step = 1 if steps[axis] > 0 else -1
            for _ in range(abs(steps[axis])):
                place = _moved(place, axis, step, self.dims[axis])
                route.append(self._vertex[place])
        return tuple(route)


def _ways(distance: int, size: int) -> tuple[int, ...]:
    """Signed steps of the shorter way round; both where they are as short, up first."""
    up = distance % size
    if 2 * up == size and size > 2:
        return (up, -up)
    return (up,) if 2 * up <= size else (up - size,)


def _moved(place: tuple[int, ...], axis: int, step: int, size: int) -> tuple[int, ...]:
    return (*place[:axis], (place[axis] + step) % size, *place[axis + 1 :])


def _enlarged(dims: tuple[int, ...], num_nodes: int) -> tuple[int, ...]:
    """The smallest dimension grows until all have a place."""
    grown = list(dims)
    while prod(grown) < num_nodes:
        grown[grown.index(min(grown))] += 1
    return tuple(grown)
