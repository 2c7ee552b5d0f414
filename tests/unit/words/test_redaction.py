"""Commands that resume a run, and messages, are shown and stored without the secrets in them."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence

import pytest

from common.spec.shown_command import shown_command
from common.words.redaction import hide_passwords, hide_secrets, hide_to_the_end
from common.words.secret_marks import has_password, is_secret_header, is_secret_name, is_secret_value
from common.words.shown_url import redact
from coordinator.launch.program import _command


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["run", "s.yaml", "--broker", "redis://h?passwd=planted"], "run s.yaml --broker 'redis://h?***'"),
        (["run", "s.yaml", "--broker=redis:/:planted@h"], "run s.yaml '--broker=***'"),
        (["p.py", "--api-key", "planted", "--n", "5"], "p.py --api-key '***' --n 5"),
        (["p.py", "--api-key=planted"], "p.py '--api-key=***'"),
        (["p.py", "API_KEY=planted", "--dry"], "p.py 'API_KEY=***' --dry"),
        (["run", "--set", "ask.llm.secret_access_key=planted"], "run --set 'ask.llm.secret_access_key=***'"),
        (["run", "--set=ask.llm.api_key=planted"], "run '--set=ask.llm.api_key=***'"),
        (["run", "--set", "ask.llm={api_key: planted}"], "run --set 'ask.llm=***'"),
        (["run", "--set=ask.llm={model: m, api_key: planted}"], "run '--set=ask.llm=***'"),
        (["run", "--set", 'ask={"llm": {"api_\\u006bey": "planted"}}'], "run --set 'ask=***'"),
        (["run", "--set", 'ask.llm={"api_key": ["planted"]}'], "run --set 'ask.llm=***'"),
        (["run", "--set", "ask.llm=model: m\napi_key: planted"], "run --set 'ask.llm=***'"),
        (["run", "--set", "ask.llm=api_key: planted"], "run --set 'ask.llm=api_key: ***'"),
        (["run", "--set", "ask.llm={api_key: planted"], "run --set 'ask.llm={api_key: ***'"),
        (["run", "--set", "ask.llm={api_key=planted}"], "run --set 'ask.llm=***'"),
        (
            ["run", "--set", "ask.llm.extra_headers=[[Accept, x], [X-Api-Key, planted]]"],
            "run --set 'ask.llm.extra_headers=***'",
        ),
        (["run", "--set", "ask.headers=['Authorization: Bearer planted']"], "run --set 'ask.headers=***'"),
        (["run", "--set", "ask.headers=[{name: Cookie, value: planted}]"], "run --set 'ask.headers=***'"),
        (["run", "--set", 'ask.llm={"X-Api-Key:": "planted"}'], "run --set 'ask.llm=***'"),
        (["run", "--set", 'ask.llm={"svc:api_key": planted}'], "run --set 'ask.llm=***'"),
        (["run", "--set", "ask.llm.svc:api_key=planted"], "run --set 'ask.llm.svc:api_key=***'"),
        (["run", "--set", "ask.llm.auth/x:token=planted"], "run --set 'ask.llm.auth/x:token=***'"),
        (["run", "--set", "ask.llm.X-Api-Key:=planted"], "run --set 'ask.llm.X-Api-Key:***'"),
        (["run", "--set", "ask.llm={base_url: 'http://me:planted@h'}"], "run --set 'ask.llm=***'"),
        (["p.py", '{"llm": {"api_key": "planted"}}'], "p.py '***'"),
        (["p.py", "--headers", "[[Authorization, planted]]"], "p.py --headers '***'"),
        (["p.py", "--llm", "model=m,api_key=planted,n=1"], "p.py --llm 'model=m,api_key=***'"),
        (["p.py", 'PENSTOCK_SECRETS={"a.api_key": "planted"}'], "p.py 'PENSTOCK_SECRETS=***'"),
        (["p.py", "PENSTOCK_BROKER_URL=redis://:planted@h"], "p.py 'PENSTOCK_BROKER_URL=redis://:***@h'"),
        (["p.py", "=".join("abcdefghijk") + "=api_key=planted"], "p.py 'a=b=c=d=e=f=g=h=i=j=k=api_key=***'"),
        (["run", "--set", "ask.x=dsn=host;password=ab;planted"], "run --set 'ask.x=dsn=host;password=***'"),
        (["run", "--set", "x=a b api_key=foo,planted"], "run --set 'x=a b api_key=***'"),
        (["run", "--set=ask.headers[0].api_key=abc,planted"], "run '--set=ask.headers[0].api_key=***'"),
        (["run", "--set", "ask.x.y:token=abc planted"], "run --set 'ask.x.y:token=***'"),
        (["p.py", '{"password": "ab\\"planted"'], "p.py '{\"password\": ***'"),
        (["p.py", '"{\\"password\\": \\"ab planted'], 'p.py \'"{\\"password\\": ***\''),
        (["p.py", "x {'password': 'ab''planted', y"], "p.py 'x {'\"'\"'password'\"'\"': ***'"),
        (["run", "--set", "keep.columns=[token, text]"], "run --set 'keep.columns=[token, text]'"),
        (["run", "--set", "ask={max_tokens: 5, sort_key: id}"], "run --set 'ask={max_tokens: 5, sort_key: id}'"),
        (["run", "--set", "load.data=[{password: word}]"], "run --set 'load.data=[{password: word}]'"),
        (["p.py", "-H", "Authorization: Bearer planted"], "p.py -H 'Authorization: ***'"),
        (["p.py", "http://me:planted@h/v1", "s3://a:planted@b"], "p.py 'http://***@h/v1' 's3://***@b'"),
        (["p.py", "https://h/v1?api_key=planted&n=1"], "p.py 'https://h/v1?api_key=***'"),
        (["p.py", "sk-planted9876543210abcdef"], "p.py '***'"),
        (["p.py", "planted-in-python", "x:planted-in-python"], "p.py '***' 'x:***'"),
        (["p.py", "--max-tokens", "5", "--key-column", "id", "a@b"], "p.py --max-tokens 5 --key-column id a@b"),
    ],
)
def test_a_command_is_shown_without_its_secrets(words: list[str], expected: str) -> None:
    shown = shown_command(words, ["planted-in-python"])
    assert shown == expected
    assert "planted" not in shown


def test_a_program_is_not_shown_with_a_secret_that_is_exported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coordinator.launch.program.script_module", lambda: "program")
    monkeypatch.setattr(sys, "argv", ["program.py", "planted-abc", "5"])
    monkeypatch.setitem(os.environ, "MY_API_KEY", "planted-abc")
    assert _command([]) == "python program.py '***' 5"


def test_the_working_directory_is_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coordinator.launch.program.script_module", lambda: "program")
    monkeypatch.setattr(sys, "argv", ["/home/me/work/program.py"])
    monkeypatch.setitem(os.environ, "PWD", "/home/me/work")
    monkeypatch.setitem(os.environ, "OLDPWD", "/home/me")
    monkeypatch.setitem(os.environ, "DB_PWD", "/planted")
    assert _command([]) == "python /home/me/work/program.py"
    assert (
        shown_command(["p.py", "PWD=/home/me", "PWD=planted", "pwd=/planted"])
        == "p.py PWD=/home/me 'PWD=***' 'pwd=***'"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("no file 'redis://:planted@h'", "no file 'redis://:***@h'"),
        ("at http://me:planted@h/v1: 401", "at http://***@h/v1: 401"),
        ("at https://h/?token=planted: 401", "at https://h/?token=***: 401"),
        ("the broker at redis://me:***@h:1/0, or", "the broker at redis://me:***@h:1/0, or"),
        ("at https://h/?n=1?token=planted", "at https://h/?n=1?token=***"),
        ("at https://h/?a?b?token=planted?x&n=1", "at https://h/?a?b?token=***&n=1"),
        ("at https://h/#access_token=planted&n=1", "at https://h/#access_token=***&n=1"),
        ("is:redis://:planted@h", "is:redis://:***@h"),
        ("ask me@example.org; 3 of 4", "ask me@example.org; 3 of 4"),
    ],
)
def test_a_message_is_shown_without_passwords_of_urls(text: str, expected: str) -> None:
    assert hide_passwords(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("'api_key=planted' is no mapping", "'api_key=***' is no mapping"),
        ("note: a.apiKey: planted, n: 1", "note: a.apiKey: ***, n: 1"),
        ("{'api_key': 'pla nted', 'n': 1}", "{'api_key': ***, 'n': 1}"),
        ('{"password": "a\\"planted", n: 1}', '{"password": ***, n: 1}'),
        ("{'password': 'a\\'planted', n: 1}", "{'password': ***, n: 1}"),
        ("{password: 'a''planted', token: \"a\"\"planted\"}", "{password: ***, token: ***}"),
        ("{password: '', token: \"\", n: 1}", "{password: '', token: \"\", n: 1}"),
        ("PWD=/a,token=planted,n", "PWD=/a,token=***,n"),
        ("Authorization: Bearer planted", "Authorization: ***"),
        ("at http://me:planted@h/?token=planted", "at http://***@h/?token=***"),
        ("max_tokens: 5 (api_key_env: NAME says it)", "max_tokens: 5 (api_key_env: NAME says it)"),
    ],
)
def test_a_message_is_shown_without_values_that_are_named_as_secrets(text: str, expected: str) -> None:
    assert hide_secrets(text) == expected


LONG = [
    *("a", "_", "aA", "sk-", "a.b", "@", ":", "//", ":/", "a:/", "redis:", "redis:/", "redis://", "http://a?b=c&"),
    *("a=", "a: ", "a=' ", 'token="', "token: ", "x:/y@ ", "?a", "?a=", "&a=", ":;.,", " ", "Bearer "),
    *("PWD=/", "PWD=", "PWD='", "OLDPWD=/&", "?PWD=/", 'token=\\"', 'token=""', "token='\\'", "a\"'\\"),
]
OPENINGS = ["", "http://", "redis://me:", "http://h?", "eyJ", "-----BEGIN "]


@pytest.mark.parametrize(
    "look", [hide_secrets, hide_to_the_end, redact, is_secret_name, is_secret_value, is_secret_header, has_password]
)
def test_the_time_for_a_text_grows_no_faster_than_its_length(look: Callable[[str], object]) -> None:
    assert slow_shapes(look, OPENINGS, 40_000, 0.15) == []


def test_passwords_of_a_line_of_a_megabyte_are_hidden_within_a_second() -> None:
    assert slow_shapes(hide_passwords, OPENINGS, 50_000, 0.2) == []
    assert slow_shapes(hide_passwords, [""], 1_000_000, 1) == []


def slow_shapes(
    look: Callable[[str], object], openings: Sequence[str], length: int, limit: float
) -> list[tuple[str, str]]:
    """Openings and repeated texts that take more than so many seconds of CPU time, each of three times."""

    def seconds(text: str) -> float:
        began = time.process_time()
        look(text)
        return time.process_time() - began

    def is_slow(text: str) -> bool:
        return all(seconds(text) > limit for _ in range(3))

    shapes = [(opening, repeated) for opening in openings for repeated in LONG]
    return [(opening, repeated) for opening, repeated in shapes if is_slow(opening + (repeated * length)[:length])]


@pytest.mark.parametrize("words", [["run", "redis://:planted@h"], ["status", "x", "redis://me:planted@h"]])
def test_a_url_in_the_wrong_place_is_not_repeated(words: list[str], monkeypatch: pytest.MonkeyPatch, capfd) -> None:  # type: ignore[no-untyped-def]
    from coordinator.__main__ import main

    monkeypatch.setattr(sys, "argv", ["pipeline-coordinator", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    said = "".join(capfd.readouterr())
    assert ended.value.code == 2
    assert said
    assert "planted" not in said
