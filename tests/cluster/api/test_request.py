"""What crosses a wire is what was said."""

import json

from hypothesis import given
from hypothesis import strategies as st

from cluster.api.output import Output, TokenLogprob

IDS = st.lists(st.integers(0, 1 << 31), max_size=3).map(tuple)
LOGPROBS = st.builds(
    TokenLogprob,
    st.integers(0, 999),
    st.binary(max_size=3),
    st.floats(-50, 0),
    st.lists(st.tuples(st.integers(0, 9), st.binary(max_size=2), st.floats(-9, 0))).map(tuple),
    st.booleans(),
)


@given(
    st.builds(
        Output,
        request_id=st.text(min_size=1, max_size=5),
        position=st.integers(0, 1 << 20),
        token_ids=IDS,
        text=st.text(max_size=5),
        logprobs=st.lists(LOGPROBS, max_size=2).map(tuple),
        finish_reason=st.sampled_from(["", "stop", "error"]),
        error=st.one_of(st.none(), st.just({"code": "internal", "message": "m"})),
        num_prompt_tokens=st.integers(0, 9),
        num_cached_tokens=st.integers(0, 9),
        num_output_tokens=st.integers(0, 9),
        times=st.dictionaries(st.text(max_size=3), st.integers(0, 9), max_size=2),
        passages=st.lists(st.text(max_size=3), max_size=2).map(tuple),
        approximate=IDS,
    )
)
def test_an_output_comes_back_as_it_went(output: Output) -> None:
    assert Output.from_body(output.to_body()) == output
    assert Output.from_body(json.loads(json.dumps(output.to_body()))) == output
