"""Every number that the gateway may be given, with the reason for its default."""

import re
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version

from configs.outside import shown

MIB_BYTES = 1 << 20
_ORIGIN = re.compile(r"\*|null|[a-z][a-z0-9+.-]*://[^/\s?#@]+")


def _installed_version() -> str:
    try:
        return version("perfuse")
    except PackageNotFoundError:  # run from a checkout
        return "unknown"


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """Limits and defaults of the HTTP shell. Raises ValueError on values that make no sense.

    default_temperature       where a request names none. OpenAI's default is 1.0; ours is 0
                              (greedy), because an emulated cluster is asked the same question on
                              two kinds of hardware and the answers are compared. Set 1.0 for a
                              drop-in replacement.
    default_max_tokens_chat   where a chat request names none, or less where the prompt leaves less
                              room; OpenAI's legacy default of 16 cuts chats short.
    default_max_tokens        the same for /v1/completions, where OpenAI documents 16.
    seed                      unseeded requests get seeds derived from it and their number, so they
                              differ from one another but a run repeats itself.
    max_body_bytes            of JSON: a context of 128 k tokens at 4 bytes, eight times over.
    max_messages              of one chat, and text parts of one message: OpenAI's own limit.
    max_choices               prompts x n in one request; each is a submission of its own.
    max_inflight              generations at once; a guard for memory, the router's own queue is the
                              real limit.
    body_timeout_s            to receive a whole body, so that a stalled upload holds nothing for
                              ever.
    stall_timeout_s           a client that takes nothing of its stream for one to two of these, or
                              does not answer TCP for one, is as good as gone: its generation is
                              cancelled, since it holds KV blocks.
    max_unread_bytes          that wait in memory for one client which reads slower than its answer
                              comes; beyond, its stream ends. 64 choices of 20 alternatives fill it
                              with 40 tokens each, a plain answer with 10,000.
    max_unread_total_bytes    of all clients together; beyond, the stream ends that has most.
    max_alternatives          tokens and alternatives of all choices of an answer in one piece,
                              which waits in memory until it is whole.
    state_timeout_s           a health check that waits longer than this for the router is itself
                              bad news.
    drain_timeout_s           `stop` waits so long for running generations before it ends them with
                              an error.
    keep_alive_s              idle connections; above the 5 s after which httpx and the OpenAI
                              client drop theirs, so that the client closes first and never writes
                              into a closing socket.
    allowed_origins           of web pages whose browsers may call (CORS); "*" is any, () none.
    admin_key                 lets in whoever asks for what is under /admin; "" is none, and then
                              only this machine may, at a loopback address.
    model_name                label of cluster-wide metrics; "" takes the first served model.
    engine                    label of all metrics, as vLLM numbers its engines.
    """

    default_temperature: float = 0.0
    default_max_tokens_chat: int = 128
    default_max_tokens: int = 16
    seed: int = 0
    max_body_bytes: int = 4 * MIB_BYTES
    max_messages: int = 2048
    max_choices: int = 64
    max_inflight: int = 1024
    max_files: int = 16_384
    max_file_bytes: int = 8 * MIB_BYTES
    max_files_total_bytes: int = 64 * MIB_BYTES
    max_responses: int = 1024
    max_responses_total_bytes: int = 64 * MIB_BYTES
    max_unread_bytes: int = 8 * MIB_BYTES
    max_unread_total_bytes: int = 64 * MIB_BYTES
    max_alternatives: int = 1 << 18
    body_timeout_s: float = 60.0
    stall_timeout_s: float = 30.0
    state_timeout_s: float = 2.0
    drain_timeout_s: float = 30.0
    keep_alive_s: int = 30
    allowed_origins: tuple[str, ...] = ()
    admin_key: str = field(default="", repr=False)
    model_name: str = ""
    engine: str = "0"
    version: str = field(default_factory=_installed_version)

    def __post_init__(self) -> None:
        if not 0.0 <= self.default_temperature <= 2.0:
            raise ValueError(
                f"default_temperature is {self.default_temperature}: it must be between 0 and 2"
            )
        positive = (
            "default_max_tokens_chat",
            "default_max_tokens",
            "max_body_bytes",
            "max_messages",
            "max_choices",
            "max_inflight",
            "max_files",
            "max_file_bytes",
            "max_files_total_bytes",
            "max_responses",
            "max_responses_total_bytes",
            "max_unread_bytes",
            "max_unread_total_bytes",
            "max_alternatives",
            "body_timeout_s",
            "stall_timeout_s",
            "state_timeout_s",
            "keep_alive_s",
        )
        for name in positive:
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} is {getattr(self, name)}: it must be above 0")
        for origin in self.allowed_origins:
            if not _ORIGIN.fullmatch(origin):
                raise ValueError(
                    f"allowed_origins has {shown(origin)}: an origin is '*', or a scheme and a "
                    "host as browsers send them, like http://localhost:3000"
                )
        if not (self.admin_key.isascii() and self.admin_key.isprintable()):
            raise ValueError("admin_key has letters that no HTTP header carries: use ASCII ones")
        if self.drain_timeout_s < 0:
            raise ValueError(f"drain_timeout_s is {self.drain_timeout_s}: it must be 0 or more")
