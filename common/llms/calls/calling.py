"""One call of a model: look for a kept answer, wait for the endpoint, send, judge what comes back, and repeat what was
not the row's fault.

Everything that asks an endpoint goes through `Endpoint.ask`; nothing else knows both transport and classes of answers.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from common.errors import RowError, UsageError
from common.llms.answers.request_key import Family
from common.llms.answers.row_answers import Question, question
from common.llms.base import Cached
from common.llms.calls.gate import Gate
from common.llms.calls.outage import Record
from common.llms.calls.transport import Fault, Reply, Timeouts, Transport
from common.llms.calls.verdicts import FORM, ErrorReply, Rule, Verdict, judge, pause_asked_for, status_of
from common.llms.waiting import RowClock, row_clock

MALFORMED = (ValueError, TypeError, AttributeError, LookupError)
"""What reading a reply raises that does not have the shape of its API, at any depth."""
_SHOWN_CHARACTERS = 500


class WrongSetup(UsageError):
    """The endpoint will answer no row: key, model, URL or options are wrong. The run halts at the first one."""


class FormRefused(WrongSetup):
    """The endpoint does not take the form that answers must have."""


class RequestRefused(RowError):
    """The endpoint will never answer this request, such as one that is too long: its row fails without a retry."""


class CallFailed(RowError):
    """The endpoint failed on this request while it answered others: the step's `retries` apply."""


class NotAnAnswer(RowError):
    """The endpoint sent something that is not what its API promises: the step's `retries` apply."""


@dataclass(frozen=True, slots=True)
class Address:
    """An endpoint and how it is asked.

    Args:
        url: that requests go to.
        shown: the endpoint for people, without user and password.
        model: its name there, for messages.
        key_name: environment variable with the key.
        has_key: whether there is one.
        headers: of each request.
        rules: lines of the provider for the table of classes.
        secrets: texts that no message may show.
        method: of HTTP.
        asked: what requests are about, for messages; empty for the model.
    """

    url: str
    shown: str
    model: str
    key_name: str
    has_key: bool
    headers: Mapping[str, str]
    rules: Sequence[Rule] = ()
    secrets: Sequence[str] = ()
    method: str = "POST"
    asked: str = ""


@dataclass(frozen=True, slots=True)
class Answered:
    """A reply.

    Args:
        reply: read as JSON.
        cached: None if it was paid for now, else whose it was, see `Generation`.
    """

    reply: Any
    cached: Cached | None = None
    question: Question | None = None

    def reject(self) -> None:
        """It is not what the API promises, so nobody shall get it again."""
        if self.question is not None:
            self.question.reject()


class Endpoint:
    """An endpoint as one worker asks it. For one event loop.

    Args:
        error_of: reads the error in a reply.
        assembled: makes one reply of a stream of events; None if there are no streams.
        retries: of one call that fails by its row's fault.
        streams: whether a reply is one if it does not say what it is.
    """

    def __init__(
        self,
        address: Address,
        timeouts: Timeouts,
        error_of: Callable[[Any], ErrorReply],
        assembled: Callable[[bytes], Any] | None = None,
        retries: int = 0,
        *,
        streams: bool = False,
    ) -> None:
        self._retries = retries
        self._streams = streams
        self._address = address
        self._transport = Transport(address.url, address.headers, timeouts, address.method)
        self._error_of = error_of
        self._assembled = assembled
        self._gate = Gate(address.shown)

    async def open(self) -> None:
        """Call it on the event loop that asks."""
        await self._transport.open()

    async def close(self) -> None:
        """Closes all connections."""
        await self._transport.close()

    async def answer(self, family: Family, request: Mapping[str, Any]) -> Answered:
        """The reply to a request: one that is kept, or else the endpoint's, which is then kept.

        Args:
            family: what makes requests to this endpoint the same as others.

        Raises: as `ask`.
        """
        asked = question(family, request)
        if asked is None:
            return Answered(await self.ask(request))
        if (found := await asked.find()) is not None:
            return Answered(orjson.loads(found.reply), found.cached, asked)
        try:
            reply = await self.ask(request)
        except BaseException:
            asked.failed()
            raise
        asked.keep(orjson.dumps(reply))
        return Answered(reply, None, asked)

    async def ask(self, request: Mapping[str, Any]) -> Any:
        """Sends a request and returns the reply, read as JSON.

        It waits while the endpoint is away or busy, without an end: a runner ends the wait, or the user.

        Raises:
            WrongSetup: no request would be answered.
            RequestRefused: this one never will.
            CallFailed, NotAnAnswer: this one was not, but may be the next time.
            Interrupted: the worker must stop, and the endpoint is away or busy.
        """
        body, clock = orjson.dumps(request), row_clock()
        while True:
            probed = await self._gate.enter(clock)
            try:
                answer = await self._once(body, clock)
            finally:
                self._gate.leave(clock, probed)
            if answer is not None:
                return answer[0]

    async def _once(self, body: bytes, clock: RowClock) -> tuple[Any] | None:
        """One request: the answer, or None where it is to be sent again."""
        pace, sent = self._gate.pace, time.monotonic()
        try:
            reply = await self._transport.post(body)
        except Fault as fault:
            # An endpoint that dies breaks the connections that it has: without this look, their rows might be blamed.
            is_away = not fault.reached or (fault.broke and await self._transport.refuses())
            await self._blame(str(fault), clock, sent, is_away=is_away)
            return None
        status = reply.status
        if not 200 <= status < 300:
            error = self._error(reply)
        elif (within := self._error_within(answer := self._read(reply))) is not None:
            error, status = within, status_of(within)
        else:
            self._worked(clock)
            pace.granted(time.monotonic())
            return (answer,)
        verdict = judge(status, error, self._address.rules)
        said = f"{status}: {self.hidden(error.message.strip())[:_SHOWN_CHARACTERS]}"
        if verdict.kind == "busy":
            self._worked(clock)
            pace.refused(sent, time.monotonic(), pause_asked_for(reply.headers, error.message))
            clock.note_busy(f"endpoint {self._address.shown} ({self._short(said)})", pace.pause_ends)
            return None
        if verdict.kind in ("away", "fault"):
            await self._blame(said, clock, sent, is_away=verdict.kind == "away")
            return None
        self._worked(clock)
        raise self._refusal(status, verdict, said)

    def _worked(self, clock: RowClock) -> None:
        self._gate.worked()
        clock.note_answer()

    async def _blame(self, why: str, clock: RowClock, sent: float, *, is_away: bool) -> None:
        """Waits a moment if the endpoint is to blame. Raises CallFailed if the row is.

        Args:
            sent: when the call was, by `time.monotonic`.
        """
        outage = self._gate.outage
        record = clock.records.setdefault(self, Record())
        blamed = outage.failed(self._short(why), time.monotonic(), record, is_away=is_away)
        if outage.since is not None:
            clock.note_away(sent)
        if blamed == "row" and record.retried < self._retries:
            record.retried += 1
        elif blamed == "row":
            record.retried = 0
            raise CallFailed(f"{self._address.shown}, {self._asked}: {self.hidden(why)[:_SHOWN_CHARACTERS]}")
        if outage.since is None:  # not enough to say that it is away
            pause = max(0.0, outage.probe_at - time.monotonic())
            await clock.wait(seconds=pause)

    def _read(self, reply: Reply) -> Any:
        kind = reply.headers.get("content-type", "")  # that of what came, whatever was asked for
        is_stream = kind.startswith("text/event-stream") or (self._streams and not kind.startswith("application/json"))
        try:
            return self._assembled(reply.body) if self._assembled and is_stream else orjson.loads(reply.body)
        except MALFORMED as error:
            shown = self.hidden(reply.body[:_SHOWN_CHARACTERS].decode(errors="replace"))
            is_json = not isinstance(error, orjson.JSONDecodeError)
            why = f"a broken stream, since {error}" if is_json else "something that is not JSON (is base_url right?)"
            raise NotAnAnswer(f"{self._about} with {why}: {shown}") from None

    def _error_within(self, answer: Any) -> ErrorReply | None:
        """The error in a reply with status 200; None if it has none."""
        has_one = isinstance(answer, dict) and isinstance(answer.get("error"), dict) and answer["error"]
        return self._error_of(answer) if has_one else None

    def _error(self, reply: Reply) -> ErrorReply:
        try:
            return self._error_of(orjson.loads(reply.body))
        except MALFORMED:
            return ErrorReply(reply.body[:4000].decode(errors="replace"))

    def _refusal(self, status: int, verdict: Verdict, said: str) -> Exception:
        if verdict.kind == "request":
            return RequestRefused(f"{self._about}: {said}")
        advice = verdict.advice.format(key=self._address.key_name)
        if status in (401, 403) and not self._address.has_key:
            advice = f"set the environment variable {self._address.key_name} on the worker's host: it holds no key"
        kind = FormRefused if verdict.advice == FORM else WrongSetup
        return kind(f"{self._about}: {said}; {advice}")

    @property
    def _about(self) -> str:
        return f"{self._address.shown} answered {self._asked}"

    @property
    def _asked(self) -> str:
        return self._address.asked or f"model '{self._address.model}'"

    def _short(self, why: str) -> str:
        return " ".join(self.hidden(why).split())[:120]

    def hidden(self, text: str) -> str:
        """A text without the secrets of its requests, which an endpoint may repeat."""
        for secret in self._address.secrets:
            text = text.replace(secret, "***")
        return text
