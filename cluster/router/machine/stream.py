"""From tokens as chips tell them to outputs as a reader hears them: in order, each once."""

from cluster.api.output import Output, TokenLogprob
from cluster.router.machine.actions import Said
from cluster.router.machine.events import Fault
from cluster.router.machine.sampled import Logprob, SampledToken
from cluster.router.machine.state import RequestState, Stream
from cluster.router.machine.text import Texts


def push(request: RequestState, token: SampledToken, texts: Texts) -> list[Said]:
    """Take one token, or several that follow each other; returns the outputs that they complete.

    A position that came before changes nothing (law 2), nor does anything after the end. One that
    comes before its time waits: the first token is told by another chip than the second, and one's
    report may be repeated while the other's passes.
    """
    stream = request.stream
    if not stream.finish_reason and token.position == len(stream.tokens) and not stream.early:
        return [_take(request, token, texts)]
    if token.more:  # some of them may have come before
        return [said for one in token.one_by_one() for said in push(request, one, texts)]
    if stream.finish_reason or token.position < len(stream.tokens):
        return []
    if all(early.position != token.position for early in stream.early):
        stream.early.append(token)
    said: list[Said] = []
    while following := _next(stream):
        stream.early.remove(following)
        said.append(_take(request, following, texts))
    return said


def contradicts(request: RequestState, token: SampledToken) -> bool:
    """Whether another token was delivered at its position."""
    tokens = request.stream.tokens
    return token.position < len(tokens) and tokens[token.position] != token.token_id


def end(request: RequestState, reason: str, fault: Fault | None = None) -> list[Said]:
    """End without a token: cancelled, or failed. Nothing if it has ended."""
    stream = request.stream
    if stream.finish_reason:
        return []
    stream.finish_reason = reason
    return [Said(_output(request, len(stream.tokens), (), "", (), fault))]


def _next(stream: Stream) -> SampledToken | None:
    """The token whose turn it is, if it is here."""
    if stream.finish_reason:
        return None
    position = len(stream.tokens)
    return next((token for token in stream.early if token.position == position), None)


def _take(request: RequestState, token: SampledToken, texts: Texts) -> Said:
    stream, text = request.stream, texts.of(request)
    stream.tokens.extend(token.token_ids)
    stream.is_approximate |= token.approximate
    reason = token.finish_reason
    ends = reason == "stop"  # an end token, which stays out of the text whatever it stands for
    shown = text.push(token.token_ids[:-1] if ends else token.token_ids)
    if text.is_stopped:
        reason = "stop"
        _spend_unfinished(request, token)
    elif reason:
        shown += text.flush()
    stream.finish_reason = reason
    in_text = not ends and not texts.is_special(token.token_id)
    logprobs = () if token.logprob is None else (_logprob(token, token.logprob, texts, in_text),)
    output = _output(
        request, token.position, token.token_ids, shown, logprobs, late_ns=token.late_ns
    )
    return Said(output, token.logits)


def _spend_unfinished(request: RequestState, token: SampledToken) -> None:
    """A stop string ends it in the middle of its decode: what that took until then counts, too.
    What a finished prefill or a last token took is counted where it came.
    """
    if token.stage != "prefill" and not token.finish_reason:
        for phase, duration_ns in (token.times_ns or {}).items():
            request.spend(phase, duration_ns)


def _logprob(token: SampledToken, told: Logprob, texts: Texts, in_text: bool) -> TokenLogprob:
    top = tuple((other, texts.data(other), logprob) for other, logprob in told.top)
    return TokenLogprob(token.token_id, texts.data(token.token_id), told.logprob, top, in_text)


def _output(
    request: RequestState,
    position: int,
    token_ids: tuple[int, ...],
    text: str,
    logprobs: tuple[TokenLogprob, ...],
    fault: Fault | None = None,
    late_ns: tuple[int, ...] = (),
) -> Output:
    stream = request.stream
    has_ended = bool(stream.finish_reason)
    return Output(
        request_id=request.request_id,
        position=position,
        token_ids=token_ids,
        text=text,
        logprobs=logprobs,
        finish_reason=stream.finish_reason,
        error=fault,
        num_prompt_tokens=0 if request.prompt is None else len(request.prompt.ids),
        num_cached_tokens=stream.num_cached,
        num_output_tokens=len(stream.tokens),
        approximate=(position,) if token_ids and stream.is_approximate else (),
        times=dict(stream.times_ns) if has_ended else {},
        passages=request.passages if has_ended else (),
        late_ns=late_ns,
    )
