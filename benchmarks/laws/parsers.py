"""What others wrote: hostile inputs of every parser, and numbers that are no numbers.

Of each parser: inputs that are made to hurt, which must be refused, and mutations of a right one,
which may be read or refused. Refused means one line, by the error that users of that parser see.
"""

import os
import random
import resource
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from benchmarks.laws import _hostile, _spoilt
from benchmarks.laws._shards import empty_shard, load_shard
from benchmarks.rows import Row
from cluster.cli.generate import read_prompts
from cluster.gateway.chat_request import parse_chat
from cluster.gateway.naming import Name
from cluster.gateway.settings import GatewaySettings
from cluster.retrieval.index_folder import MANIFEST, read_collection
from cluster.text.template import load_template
from cluster.text.template_files import TEMPLATE_FILE
from cluster.text.tokenizer import Tokenizer
from cluster.workload.prompts import question_prompts
from cluster.workload.traces import read_trace
from configs.families import load_model
from configs.presets import ROOT, model_folder, preset_path
from configs.schema import load_scenario
from configs.units import DURATION
from workers.errors import PerfuseError
from workers.model.header import read_header
from workers.wire.transport.frame import decode as decode_frame

MUTATIONS = 200
LINE_MAX = 1500  # characters; a scenario's problems have a line each
SECONDS_MAX, MIB_MAX = 5.0, 1024.0
MESSAGES = [{"role": "user", "content": "hello"}]
CHAT = b'{"model": "m", "messages": [{"role": "user", "content": "x"}], "n": 2, "stop": ["a"]}'
CONVERSATIONS = (
    b'[{"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]}]'
)
MOONCAKE = b'{"timestamp": 27, "input_length": 600, "output_length": 5, "hash_ids": [0, 1]}\n'

Read = Callable[[bytes], object]


@dataclass(frozen=True, slots=True)
class Parser:
    """`hostile` must be refused; `right` is read, and its mutations are read or refused."""

    name: str
    read: Read
    hostile: Sequence[bytes]
    right: bytes


@dataclass(slots=True)
class Tried:
    """Of all inputs so far: the longest processor time of one, and which it was."""

    seconds: float = 0.0
    slowest: str = "none"

    def answer(self, name: str, read: Read, data: bytes, *, may_pass: bool) -> bool:
        """Whether it was read where it may be, or else refused in one line."""
        begun_s = time.thread_time()
        try:
            read(data)
            return may_pass
        except (ValueError, PerfuseError) as error:
            text = str(error)
            # A scenario has a title, and a line for each problem.
            lines = text.count("\n") + 1 - len(getattr(error, "problems", ()))
            return 0 < len(text) <= LINE_MAX and lines <= 1
        except Exception:  # what users would see as a stack trace: this is what is counted
            return False
        finally:
            took_s = time.thread_time() - begun_s
            if took_s > self.seconds:
                self.seconds, self.slowest = took_s, f"{name}: {data[:40]!r}"


def rows(seed: int) -> Iterator[Row]:
    rng, tried = random.Random(seed), Tried()
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with tempfile.TemporaryDirectory(prefix="perfuse-laws-") as name:
        folder = Path(name)
        for parser in _parsers(folder):
            yield _row(parser, tried, rng)
        yield _special_files(folder, tried)
    yield Row(
        f"longest of all hostile inputs ({tried.slowest})",
        *(tried.seconds, "s", f"<= {SECONDS_MAX:g} s", tried.seconds <= SECONDS_MAX),
        "measured: processor time of one thread",
    )
    grown_mib = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib) / 1024
    yield Row(
        "memory that all hostile inputs together took",
        *(grown_mib, "MiB", f"<= {MIB_MAX:g} MiB", grown_mib <= MIB_MAX),
        "measured: growth of the largest resident set",
    )
    yield from _spoilt.rows()


def _row(parser: Parser, tried: Tried, rng: random.Random) -> Row:
    parser.read(parser.right)
    good = [tried.answer(parser.name, parser.read, x, may_pass=False) for x in parser.hostile]
    mutated = [_mutated(parser.right, rng) for _ in range(MUTATIONS)]
    good += [tried.answer(parser.name, parser.read, x, may_pass=True) for x in mutated]
    return _counted(f"{parser.name}: hostile inputs refused in a line, mutations too or read", good)


def _counted(name: str, good: Sequence[bool]) -> Row:
    of = f"{len(good)} of {len(good)}"
    return Row(name, sum(good), "", of, all(good), "measured: each tried once")


def _mutated(right: bytes, rng: random.Random) -> bytes:
    """Some bytes of a right input changed, cut out, repeated, or its end missing."""
    data = bytearray(right)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(data) + 1)
        piece = data[at : at + rng.randint(0, 12)]
        new = rng.choice([rng.randbytes(1), b"", bytes(piece) * rng.randint(2, 99), b"9" * 40])
        data[at : at + len(piece)] = new
    return bytes(data[: rng.randrange(len(data) + 1)] if rng.random() < 0.2 else data)


def _parsers(folder: Path) -> Iterator[Parser]:
    def in_file(name: str, read: Callable[[Path], object]) -> Read:
        def written(data: bytes) -> object:
            (folder / name).write_bytes(data)
            return read(folder / name)

        return written

    tiny = model_folder("perfuse-tiny")
    yield Parser("scenario", in_file("s.yaml", load_scenario), _hostile.YAML, _scenario())
    yield Parser("quantity", lambda x: DURATION.parse(x.decode()), _hostile.QUANTITIES, b"2.5 us")
    trace = in_file("trace", lambda path: read_trace("mooncake", path))
    azure = b"TIMESTAMP,ContextTokens,GeneratedTokens\r\n2023-11-16 18:17:03.97,4808,10\r\n"
    yield Parser("Mooncake trace", trace, _hostile.TRACES, MOONCAKE * 3)
    trace = in_file("trace", lambda path: read_trace("azure", path))
    yield Parser("Azure trace", trace, _hostile.TRACES, azure)
    chats = in_file("trace", lambda path: read_trace(None, path))
    yield Parser("conversations", chats, _hostile.TRACES, CONVERSATIONS)
    questions = in_file("q.jsonl", lambda path: question_prompts(path, 9))
    yield Parser("questions", questions, _hostile.JSON, b'{"question": "a?", "answer": "b"}\n')
    ids = [x for x in _hostile.JSON if x != b"9" * 5000]
    yield Parser("token ids", in_file("ids", read_prompts), ids, b"[[1, 2], [3]]")
    index = in_file(MANIFEST, lambda path: read_collection(path.parent))
    yield Parser("index", index, _hostile.JSON, _index(folder))
    config = (tiny / "config.json").read_bytes()
    config_file = in_file("config.json", lambda path: load_model(path.parent))
    yield Parser("config.json", config_file, _hostile.JSON, config)
    tokenizer = in_file("tokenizer.json", lambda path: Tokenizer.load(path.parent))
    described = (tiny / "tokenizer.json").read_bytes()
    yield Parser("tokenizer.json", tokenizer, _hostile.JSON, described)
    entries = b'{"a":%s,"b":%s}' % (_hostile.tensor(0, 12), _hostile.tensor(12, 24))
    header = in_file("model.safetensors", read_header)
    yield Parser("safetensors", header, _hostile.HEADERS, _hostile.safetensors(entries))
    yield Parser("chat template", in_file(TEMPLATE_FILE, _render), _hostile.TEMPLATES, _template())
    yield Parser("chat request", _chat, _hostile.CHATS, CHAT)
    yield Parser("shard", load_shard, _hostile.JSON, empty_shard())
    yield Parser("frame", decode_frame, _hostile.JSON, _frame())


def _scenario() -> bytes:
    return preset_path("scenario", "demo").read_bytes()


def _template() -> bytes:
    return (ROOT / "perfuse_tiny" / "model" / TEMPLATE_FILE).read_bytes()


def _render(path: Path) -> object:
    tokenizer = Tokenizer.load(model_folder("perfuse-tiny"))
    tokenizer._template = load_template(path.parent, {})
    return tokenizer.render_chat(MESSAGES)


def _chat(data: bytes) -> object:
    return parse_chat(orjson.loads(data), Name("a", "a"), 0, GatewaySettings())


def _frame() -> bytes:
    from workers.wire.kinds.chip import Abort
    from workers.wire.message import Message
    from workers.wire.transport.frame import encode

    return encode(Message(Abort(), "a", "b"))


def _index(folder: Path) -> bytes:
    """A sound index in the folder; its manifest."""
    from cluster.retrieval.collection import collection_from_texts
    from cluster.retrieval.embedder import make_embedder
    from cluster.retrieval.index_folder import write_collection

    write_collection(collection_from_texts(["one", "two"], make_embedder("hashing")), folder / "i")
    for file in (folder / "i").iterdir():
        file.rename(folder / file.name)
    return (folder / MANIFEST).read_bytes()


def _special_files(folder: Path, tried: Tried) -> Row:
    """A pipe without a writer, a link to itself, a folder, a sparse TiB, a device without end."""
    made = {name: folder / "special" / name for name in ("pipe", "loop", "folder", "sparse")}
    made["pipe"].parent.mkdir()
    os.mkfifo(made["pipe"])
    made["loop"].symlink_to(made["loop"])
    made["folder"].mkdir()
    with made["sparse"].open("wb") as file:
        file.truncate(1 << 40)
    readers: list[Callable[[Path], Any]] = [
        load_scenario, read_header, read_prompts, lambda path: question_prompts(path, 1),
        lambda path: read_trace("mooncake", path), lambda path: read_trace("azure", path),
    ]  # fmt: skip
    good = []
    for path in (*made.values(), Path("/dev/zero")):
        for read in readers:
            reading = partial(_ignoring, read, path)
            good.append(tried.answer(path.name, reading, b"", may_pass=False))
    return _counted("pipes, devices, links in circles, sparse files: refused by each reader", good)


def _ignoring(read: Callable[[Path], object], path: Path, _: bytes) -> object:
    return read(path)
