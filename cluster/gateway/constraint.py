"""What shapes an answer: structured output in the spellings of OpenAI and vLLM, biases, penalties.

    response_format     {"type": "json_object"} or {"type": "json_schema", "json_schema": {...}}
    structured_outputs  vLLM's: one of json, json_object, regex, choice, grammar
    guided_json, guided_regex, guided_choice, guided_grammar    vLLM's older spelling

Whoever makes a constraint of something else (a forced tool's parameters, say) calls `json_schema`,
and puts it in by `constrained`.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

import orjson

from cluster.gateway.fields import Fields
from cluster.gateway.json_schema import json_schema
from workers.errors import InvalidRequest
from workers.model.sampling_params import SamplingParams
from workers.model.shaping import BIASES_MAX, Constraint, ConstraintKind, Shaping

CHOICES_MAX = 1024
ANY_OBJECT = {"type": "object"}
TOKEN_ID_DIGITS = 10  # of 31 bits


def read_shaping(fields: Fields) -> Shaping | None:
    """Take out of a request all that changes logits. Raises InvalidRequest by name."""
    shaping = Shaping.of(
        constraint=_read_constraint(fields),
        logit_bias=_read_biases(fields),
        presence_penalty=fields.number("presence_penalty", 0.0, -2.0, 2.0),
        frequency_penalty=fields.number("frequency_penalty", 0.0, -2.0, 2.0),
        repetition_penalty=fields.number("repetition_penalty", 1.0, 0.01, 100.0),
    )
    if shaping is not None:
        shaping.validate()
    return shaping


def constrained(params: SamplingParams, constraint: Constraint) -> SamplingParams:
    """The same, with answers of that language; raises InvalidRequest if they have one already."""
    shaping = params.shaping or Shaping()
    if shaping.constraint is not None:
        raise InvalidRequest(
            f"{shaping.constraint.said_by} and {constraint.said_by} are both given: use one",
            param=constraint.said_by,
        )
    constraint.validate()
    return replace(params, shaping=replace(shaping, constraint=constraint))


def read_format(format_: Fields, nested: str) -> Constraint | None:
    """OpenAI's `{"type": "text" | "json_object" | "json_schema", ...}`, wherever it stands.

    nested   the field in which a schema stands with its name: "json_schema" in a chat's
             response_format; "" in /v1/responses, which has both beside the type
    """
    kind = format_.take("type")
    constraint = None
    if kind == "json_object":
        constraint = json_schema(ANY_OBJECT, format_.name("type"))
    elif kind == "json_schema":
        inner = Fields(format_.take(nested), format_.name(nested)) if nested else format_
        constraint = json_schema(inner.take("schema"), inner.name("schema"))
        # Names and descriptions are for models that read them; every schema is enforced.
        inner.string("name", "")
        inner.string("description", "")
        inner.boolean("strict")
        inner.refuse_rest(frozenset(), {})
    elif kind != "text":
        raise format_.wrong("type", kind, "'text', 'json_object' or 'json_schema'")
    format_.refuse_rest(frozenset(), {})
    return constraint


def _read_constraint(fields: Fields) -> Constraint | None:
    found = []
    if (asked := fields.take("response_format")) is not None:
        found.append(read_format(Fields(asked, "response_format"), "json_schema"))
    if (asked := fields.take("structured_outputs")) is not None:
        found.append(_read_structured(Fields(asked, "structured_outputs")))
    found += [
        _READ[key](asked, fields.name(f"guided_{key}"))
        for key in _READ
        if (asked := fields.take(f"guided_{key}")) is not None
    ]
    constraints = [one for one in found if one is not None]
    if len(constraints) > 1:
        first, second = constraints[:2]
        text = f"{first.said_by} and {second.said_by} are both given: use one"
        raise InvalidRequest(text, param=second.said_by)
    return constraints[0] if constraints else None


def _read_structured(inner: Fields) -> Constraint | None:
    found = [
        _READ[key](asked, inner.name(key))
        for key in _READ
        if (asked := inner.take(key)) is not None
    ]
    if inner.boolean("json_object"):
        found.append(json_schema(ANY_OBJECT, inner.name("json_object")))
    # vLLM's way to name the backend, and to forbid another one: there is one here.
    inner.refuse_rest(frozenset(("disable_fallback",)), {"disable_any_whitespace": (False,)})
    if len(found) != 1:
        text = "must have exactly one of json, json_object, regex, choice and grammar"
        raise InvalidRequest(f"structured_outputs {text}", param="structured_outputs")
    return found[0]


def _json(asked: object, said_by: str) -> Constraint:
    """A schema, or as vLLM also takes it, a schema's text."""
    if isinstance(asked, str):
        try:
            asked = orjson.loads(asked)
        except orjson.JSONDecodeError as error:
            raise InvalidRequest(f"{said_by} is not JSON: {error}", param=said_by) from error
    return json_schema(asked, said_by)


def _text(kind: ConstraintKind) -> Callable[[object, str], Constraint]:
    def read(asked: object, said_by: str) -> Constraint:
        if not isinstance(asked, str) or not asked:
            raise InvalidRequest(f"{said_by} must be a non-empty string", param=said_by)
        return Constraint(kind, asked, said_by)

    return read


def _choice(asked: object, said_by: str) -> Constraint:
    if (
        not isinstance(asked, list)
        or not 0 < len(asked) <= CHOICES_MAX
        or not all(isinstance(choice, str) and choice for choice in asked)
    ):
        text = f"{said_by} must be a list of 1 to {CHOICES_MAX} non-empty strings"
        raise InvalidRequest(text, param=said_by)
    return Constraint("choice", orjson.dumps(asked).decode(), said_by)


_READ: Mapping[str, Callable[[object, str], Constraint]] = {
    "json": _json,
    "regex": _text("regex"),
    "choice": _choice,
    "grammar": _text("grammar"),
}


def _read_biases(fields: Fields) -> tuple[tuple[int, float], ...]:
    """OpenAI's token ids are the names of a JSON object, hence strings."""
    asked = fields.take("logit_bias")
    if asked is None:
        return ()
    if not isinstance(asked, dict):
        raise fields.wrong("logit_bias", asked, "an object of token ids and numbers")
    if len(asked) > BIASES_MAX:
        text = f"logit_bias has {len(asked)} tokens: at most {BIASES_MAX} are read"
        raise InvalidRequest(text, param="logit_bias")
    biases: dict[int, float] = {}
    inner = Fields(asked, "logit_bias")
    for name, bias in asked.items():
        if not (name.isascii() and name.isdigit() and len(name) <= TOKEN_ID_DIGITS):
            raise InvalidRequest(f"logit_bias names {name!r:.80}: no token id", param="logit_bias")
        if bias is None:
            text = f"logit_bias.{int(name)} is null: it must be a number between -100 and 100"
            raise InvalidRequest(text, param="logit_bias")
        if int(name) in biases:
            text = f"logit_bias names token {int(name)} twice: one of them must go"
            raise InvalidRequest(text, param="logit_bias")
        biases[int(name)] = inner.number(name, 0.0, -100.0, 100.0)
    return tuple((token, biases[token]) for token in sorted(biases) if biases[token])
