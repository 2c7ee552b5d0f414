"""The class of an endpoint's answer: whose fault it is, and so what follows. Pure data and pure functions.

The classes, after the error pages of the providers:

- `answer`: a reply to be read.
- `away`: the endpoint does not work now; all rows wait for it.
- `fault`: a 5xx; of the row if other rows succeed meanwhile, else of the endpoint.
- `busy`: too much was asked at once; never the row's fault.
- `setup`: no row would be answered: a wrong key, model or option, no credit.
- `request`: this prompt is never answered: too long, or against the provider's policy.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Literal

AnswerClass = Literal["answer", "away", "fault", "busy", "setup", "request"]

LONGEST_PAUSE = 600.0
"""Most seconds that an endpoint may ask to wait; a longer wish is cut."""


@dataclass(frozen=True, slots=True)
class ErrorReply:
    """An error as the endpoint describes it; empty where it says nothing.

    Args:
        kind: such as `invalid_request_error`.
        code: such as `context_length_exceeded`.
        parameter: the option that is wrong.
    """

    message: str
    kind: str = ""
    code: str = ""
    parameter: str = ""

    @property
    def text(self) -> str:
        """Everything it says, to search in."""
        return " ".join((self.code, self.kind, self.parameter, self.message))


@dataclass(frozen=True, slots=True)
class Rule:
    """A line of the table.

    Args:
        statuses: first and last HTTP status.
        says: what code, type, parameter or message must contain; None for anything.
        parameters: one of these must be the one that the error names; empty for any error.
        advice: what the user can change; `{key}` is the variable with the key.
    """

    verdict: AnswerClass
    statuses: tuple[int, int]
    says: re.Pattern[str] | None = None
    advice: str = ""
    parameters: frozenset[str] = frozenset()

    def matches(self, status: int, error: ErrorReply) -> bool:
        """Whether the line is about this answer."""
        first, last = self.statuses
        if not first <= status <= last:
            return False
        if self.parameters and error.parameter.removeprefix("body.") not in self.parameters:
            return False
        return self.says is None or self.says.search(error.text) is not None


def _says(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


CREDIT = "the account has no credit or quota left: add some, or use another key"
KEY = "check the key in the environment variable {key}"
MODEL = "no such model, or base_url is wrong (it usually ends in /v1)"
FORM = "the endpoint does not take this structured_output: simplify its schema, or set constrain: false in it"
OPTION = "an option of the call is wrong: see generation_kwargs"
ABILITY = "the server cannot do this: see which model it serves, and with which options it was started"

_OPTIONS = frozenset(
    {
        *("allowed_token_ids", "bad_words", "chat_template", "dimensions", "echo", "frequency_penalty", "logit_bias"),
        *("logprobs", "min_p", "min_tokens", "n", "parallel_tool_calls", "presence_penalty", "prompt_logprobs"),
        *("reasoning", "reasoning.effort", "reasoning_effort", "repetition_penalty", "seed", "service_tier", "stop"),
        *("stop_token_ids", "stream_options", "temperature", "thinking_token_budget", "tool_choice", "tools", "top_k"),
        *("top_logprobs", "top_p", "verbosity"),
    }
)
"""Options that, if wrong, are wrong for all rows. A limit of tokens may be too high for a long prompt alone."""

COMMON: Sequence[Rule] = (
    Rule("answer", (200, 299)),
    Rule("setup", (402, 402), None, CREDIT),
    Rule("setup", (429, 429), _says(r"insufficient_quota|exceeded your current quota|billing|credit balance"), CREDIT),
    Rule("setup", (400, 400), _says(r"credit balance is too low|billing"), CREDIT),
    Rule("busy", (429, 429)),
    Rule(
        "busy",
        (503, 503),
        _says(r"resource[ _]unavailable|overloaded|at capacity|rate.?limit|queue is full|waiting timeout"),
    ),
    Rule("away", (503, 503), _says("loading")),  # llama.cpp and others: not up yet
    Rule("request", (403, 403), _says(r"moderation|flagged|content[ _]policy|safety"), ""),
    Rule("setup", (401, 401), None, KEY),
    Rule("setup", (403, 403), None, f"{KEY}, and what it permits"),
    Rule("setup", (404, 405), None, MODEL),
    Rule(
        "setup",
        (400, 422),
        _says(
            r"supports at most \d+ completion tokens|valid range of max_tokens|max_(completion_)?tokens.? must be less"
        ),
        OPTION,
    ),
    Rule(
        "request",
        (400, 422),
        _says(
            r"context.?length|maximum context|context window|too long|too many tokens|too large|string_above_max_length"
            r"|exceeds? (the )?(limit|maximum)|content.?(filter|policy|management)|policy.?violation|safety|moderation"
            r"|invalid_image|image_parse|unsupported_image|invalid_prompt"
        ),
    ),
    Rule(
        "setup",
        (400, 422),
        _says(r"model_not_found|invalid[ _]model|model.{0,80}(does not exist|not found|not exist)|pinned to"),
        MODEL,
    ),
    Rule(
        "setup",
        (400, 400),
        _says(r"(invalid|incorrect).{0,12}api.?key|api.?key.{0,20}(not valid|invalid|expired)"),
        KEY,
    ),
    Rule(
        "setup",
        (400, 422),
        _says(
            r"unsupported_(parameter|value)|unknown_parameter|invalid_type|unrecognized (request )?argument"
            r"|unexpected keyword|extra_forbidden|extra inputs are not permitted|extra fields not permitted"
            r"|unexpected fields?"
            r"|json\.exception\.type_error|requires logprobs|field '\w+': value must|invalid tool_choice"  # llama.cpp
            r"|custom grammar constraints"
            r"|loc\W+body\W+(?!messages|prompt|input|function-)\w"  # servers that check requests with pydantic
        ),
        OPTION,
    ),
    Rule("setup", (400, 400), _says("does not support (generation|pooling)|default chat template"), ABILITY),
    Rule("setup", (400, 422), None, OPTION, _OPTIONS),
    Rule("fault", (400, 400), _says("json_validate_failed")),  # Groq: this answer did not have the form
    Rule(
        "setup",
        (400, 422),
        _says(
            r"response_?format|json.?schema|structured.?output|guided_"
            r"|(invalid|unsupported|parse|compile).{0,20}(grammar|schema)|into a grammar|grammar error|parsing regex"
        ),
        FORM,
    ),
    Rule("request", (400, 400)),
    Rule("fault", (408, 409)),
    Rule("request", (413, 422)),
    Rule("busy", (424, 425)),
    Rule("away", (529, 529)),
    # llama.cpp says 500 of requests that it never answers.
    Rule("setup", (500, 500), _says("failed to parse tools|cannot use both json_schema"), OPTION),
    Rule(
        "request",
        (500, 501),
        _says("too large to process|(image|audio|video) input is not supported|failed to parse messages"),
    ),
    Rule("setup", (501, 501), None, ABILITY),
    Rule("fault", (500, 599)),
    Rule("setup", (300, 499), None, MODEL),
)
"""The first line that matches says the class. Lines of a provider come before these."""


_WORDS_OF_STATUSES: Sequence[tuple[int, re.Pattern[str]]] = (
    (529, _says("overloaded")),
    (429, _says(r"rate.?limit|too.?many.?requests")),
    (504, _says("time.?out")),
    (401, _says("authentication|unauthorized")),
    (403, _says("permission|forbidden")),
    (404, _says("not.?found")),
    (400, _says(r"invalid.?(request|prompt|image)|bad.?request|context.?length|content.?(policy|filter)|too.?large")),
)
"""Words in type or code of an error that comes without a status of its own."""


def status_of(error: ErrorReply) -> int:
    """The HTTP status of an error that comes inside a reply with status 200, as in a stream that has begun."""
    if re.fullmatch(r"[45]\d\d", error.code):
        return int(error.code)
    words = f"{error.kind} {error.code}"
    return next((status for status, says in _WORDS_OF_STATUSES if says.search(words)), 500)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The class of an answer, and what the user can do."""

    kind: AnswerClass
    advice: str = ""


def judge(status: int, error: ErrorReply, rules: Sequence[Rule] = ()) -> Verdict:
    """The class of an HTTP reply.

    Args:
        rules: the provider's own, which come first.
    """
    for rule in (*rules, *COMMON):
        if rule.matches(status, error):
            return Verdict(rule.verdict, rule.advice)
    return Verdict("fault")


_WAIT = re.compile(r"\b(?:retry|try again) (?:in|after) (\d{1,6}(?:\.\d{1,9})?) ?s(?:ec|\b)", re.IGNORECASE)


def pause_asked_for(headers: Mapping[str, str], message: str = "", now: datetime | None = None) -> float | None:
    """Seconds that the endpoint wants to be left in peace, from `retry-after-ms` or `retry-after` (RFC 9110, 10.2.3).

    Args:
        headers: looked up by names in lower case.
        message: of the error, if no header says it: Gemini's "Please retry in 11.6s."
    """
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return min(milliseconds / 1000, LONGEST_PAUSE)
    asked = headers.get("retry-after")
    if asked is None and (found := _WAIT.search(message)):
        return min(float(found[1]), LONGEST_PAUSE)
    seconds = _number(asked)
    if seconds is None and asked:
        try:
            moment = parsedate_to_datetime(asked)
        except ValueError:
            return None
        seconds = max(
            0.0,
            ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - (now or datetime.now(UTC))).total_seconds(),
        )
    return None if seconds is None else min(seconds, LONGEST_PAUSE)


def _number(text: str | None) -> float | None:
    return float(text) if text and re.fullmatch(r"\s*\d{1,9}(\.\d{1,9})?\s*", text) else None
