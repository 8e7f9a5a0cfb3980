"""What a request cannot ask where nothing is computed."""

from workers.errors import InvalidRequest
from workers.model.sampling_params import SamplingParams


def check_no_values(sampling: SamplingParams) -> None:
    """Raise InvalidRequest naming what hangs on values, of which there are none. How tokens would
    be drawn (temperature, top_p, top_k, seed) changes no length and no work: it is taken, and
    nothing comes of it.
    """
    shaping = sampling.shaping
    asked = {
        "logprobs": sampling.logprobs is not None,
        "return_logits": sampling.return_logits,
        "stop": bool(sampling.stop),
        "stop_token_ids": bool(sampling.stop_token_ids),
        "response_format": shaping is not None and shaping.constraint is not None,
        "logit_bias, or a penalty,": shaping is not None,
    }
    for name in (name for name, is_asked in asked.items() if is_asked):
        raise InvalidRequest(
            f"{name} is given, and this cluster computes no values (model.numerics: counts): its "
            "answers are placeholders of the length that max_tokens says; leave it out, or serve "
            "with numerics: digest",
            param=name.partition(",")[0],
        )
