"""Inputs that are made to hurt, one list a format: each must be refused."""

DEEP = b"[" * 900 + b"]" * 900
JSON = [
    DEEP, b'{"a":' * 100_000, b"NaN", b"[1e400]", b"9" * 5000, b'{"a":1,"a":2}', b"\xff", b"\0",
    b"", b'{"a": Infinity}', b"{" * 5000, b"[1,2", b"-", b"'a'", b"[" * 100_000,
]  # fmt: skip
BOMB = b"a: &a [x, x]\n" + b"\n".join(
    b"b%d: &b%d [%s]" % (i, i, b", ".join([b"*b%d" % (i - 1) if i else b"*a"] * 10))
    for i in range(9)
)
YAML = [
    b"a: " + DEEP, BOMB, b"a: &a [*a]", b"? [1]\n: 2", b"a: 1\na: 2", b"a: 2001-99-99", b"\0",
    b"\xff", b"a: " + b"9" * 5000, b"- " * 500, b"a: !!python/object/apply:os.getpid []", b"[1, ",
    b"a: *b", b"[" + b"1," * 30_000 + b"]", b"x" * 600_000,
]  # fmt: skip
QUANTITIES = [
    b"1e99999999 us", b"1e-99999999 us", b"9" * 5000 + b" s", b"1e400 s", b"nan s", b"inf s", b"",
    b"-1 s", b"1 \0", b"1e19 ns", b"2", b"1 us us", b"0x10 s", b"1e0000000000000009 s",
]  # fmt: skip
TRACES = [
    *JSON, b'{"timestamp": 1e400}', b'{"timestamp": 0, "input_length": 1000000000000}',
    b'{"timestamp": 99999999999999999}', b"x" * 2_000_000, b'{"timestamp": [[[[]]]]}',
    b'TIMESTAMP,ContextTokens,GeneratedTokens\n"' + b"a" * 200_000,
    b"TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03.1," + b"9" * 5000 + b",1",
]  # fmt: skip
TEMPLATES = [
    b"{% for a in range(99999) %}" * 3 + b"{% endfor %}" * 3, b"{{ 'x' * 10**10 }}",
    b"{{ 10 ** (10 ** 8) }}", b"{{ 'x'.center(10**10) }}", b"{{ '%10000000000d' % 1 }}",
    b"{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
    b"{% for %}",
    b"{% set n = namespace(x='x') %}{% for i in range(99) %}{% set n.x = [n.x, n.x] %}{% endfor %}"
    b"{{ n.x }}", b"{{ " + b"(" * 5000 + b")" * 5000 + b" }}", b"{{ 1 / 0 }}", b"\xff",
    b"{{ x.y }}", b"{{ '{:10000000000}'.format(1) }}",
    b"{% for a in [1] %}" * 60 + b"{% endfor %}" * 60,
]  # fmt: skip
CHATS = [
    *JSON, b'{"model": "m", "messages": ' + DEEP + b"}",
    b'{"model": "m", "messages": [{"role": "user", "content": "x"}], "tool_choice": ' + DEEP + b"}",
    b'{"model": "m", "messages": [{"role": "user", "content": "x"}], "logit_bias": ' + DEEP + b"}",
    b'{"model": "m", "messages": [{"role": "user", "content": "x"}], "n": 1e30}',
    b'{"model": "m", "messages": [{"role": "user", "content": "x"}], "' + b"k" * 100_000 + b'": 1}',
]  # fmt: skip


def safetensors(header: bytes, num_bytes: int = 24) -> bytes:
    """A file with this header, and so many bytes of tensors."""
    return len(header).to_bytes(8, "little") + header + bytes(num_bytes)


def tensor(begin: int, end: int) -> bytes:
    return b'{"dtype":"BF16","shape":[2,3],"data_offsets":[%d,%d]}' % (begin, end)


HEADERS = [safetensors(text) for text in JSON if text] + [
    safetensors(b'{"a":%s,"b":%s}' % (tensor(*one), tensor(*other)))
    for one, other in [
        ((0, 12), (0, 12)), ((0, 12), (6, 24)), ((-12, 0), (0, 24)), ((0, 12), (13, 24)),
        ((24, 12), (0, 24)), ((0, 12), (12, 1 << 62)), ((4, 12), (12, 24)),
    ]
]  # fmt: skip
