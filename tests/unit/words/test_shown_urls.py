"""A broker's password is not in what is shown or kept, however its URL is spelt."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.broker.connection import Connection
from common.errors import BrokerError, UsageError
from common.words.shown_url import redact
from coordinator.runs.run_directory import RunRecord

PASSWORD = "hunter2"

SPELLINGS = [
    "redis://:hunter2@h",
    "redis://hunter2@h",
    "redis://hunter2:@h",
    "redis://hunter2:hunter2@h",
    "redis://me:hunter2@h:6379/0",
    "REDIS://me:hunter2@h",
    "  redis://me:hunter2@h  ",
    "redis:/:hunter2@h",
    "redis:hunter2@h",
    "redis:///:hunter2@h",
    "redis://:hunter2",
    "redis://h:hunter2/0",
    "redis://h/hunter2",
    "redis://me:p@hunter2@h",
    "redis://me:p/hunter2@h",
    "redis://me:p?hunter2@h",
    "redis://me:p#hunter2@h",
    "redis://me:p?db=hunter2@h",
    "redis://me%3Ahunter2%40h",
    "redis://me:hunter2%40h",
    "redis://me:hunter2 @h",
    "redis://me:\nhunter2@h",
    "redis://h?password=hunter2",
    "redis://h?PASSWORD=hunter2",
    "redis://h?passwd=hunter2",
    "redis://h?pwd=hunter2&db=1",
    "redis://h?p%61ssword=hunter2",
    "redis://h?db=1;password=hunter2",
    "redis://h?db=1%26password%3Dhunter2",
    "redis://h?hunter2",
    "redis://h?password=a@hunter2",
    "redis://h#hunter2",
    "unix:///tmp/redis.sock?password=hunter2",
    "unix://me:hunter2@/tmp/redis.sock",
    "unix://:hunter2@/tmp/redis.sock",
    "unix://:hunter2/tmp/redis.sock",
    "unix:///:hunter2@/tmp/redis.sock",
    "rediss://h?ssl_password=hunter2",
    "rediss://h?ssl_ca_certs=/none;password=hunter2",
    "redis+sentinel://me:hunter2@a:1,b:2/m?sentinel_password=hunter2",
    "redis+sentinel://a:1,b:hunter2/m",
    "redis+sentinel://a:1/m/hunter2",
    "redis+sentinel://a:1/m?sentinel_hunter2=1",
    "redis://[hunter2]/0",
    "redis://a\u2100b:hunter2@h",
    "http://me:hunter2@h",
    "hunter2://h",
    "hunter2",
    "://hunter2@h",
]


@pytest.mark.parametrize("url", SPELLINGS)
def test_no_spelling_of_a_url_shows_its_password(url: str) -> None:
    shown = redact(url)
    assert PASSWORD not in shown
    assert redact(shown) == shown
    record = RunRecord(run="r", pipeline="p", signature="s", broker=url)
    assert PASSWORD not in record.model_dump_json()
    said = ""
    try:
        connection = Connection(url, timeout=0.1)
        assert PASSWORD not in connection.shown_url
        connection.facts()
    except (UsageError, BrokerError) as error:
        said = str(error)
    assert PASSWORD not in said


text = st.text(st.sampled_from("ab0:/@?#&=%;., \t\n[]-_~"), max_size=12)
schemes = st.sampled_from(["redis", "rediss", "unix", "redis+sentinel", "Redis", "http", "x", ""])
marks = st.sampled_from(["://", ":/", ":", "", ":///"])


@given(
    schemes, marks, text, st.sampled_from([":", ":x", "me:", "?password=", "?pwd=", "&pass=", "#"]), text, st.booleans()
)
def test_a_password_between_arbitrary_marks_is_not_shown(
    scheme: str, mark: str, before: str, opening: str, behind: str, encoded: bool
) -> None:
    password = quote("Zu!gehe1m", safe="") if encoded else "Zu!gehe1m"
    shown = redact(f"{scheme}{mark}{before}{opening}{password}@{behind}")
    assert "gehe1m" not in shown
    shown = redact(f"{scheme}{mark}{before}?{opening.strip('?:#')}{password}{behind}")
    assert "gehe1m" not in shown
    assert redact(shown) == shown


@pytest.mark.parametrize(
    "url",
    [
        "redis://localhost:6379/0",
        "redis://localhost",
        "redis://[::1]:6379/2",
        "rediss://broker.example:6380/2?ssl_ca_certs=/etc/ca.pem&ssl_cert_reqs=none&socket_timeout=5",
        "unix:///tmp/penstock-x/redis.sock?db=3",
        "redis+sentinel://a:1,b:2/mymaster/0",
    ],
)
def test_what_is_harmless_is_shown_whole(url: str) -> None:
    assert redact(url) == url


def test_the_user_and_the_place_of_the_password_are_shown() -> None:
    assert redact("rediss://worker:s3cret@broker.example:6380/2") == "rediss://worker:***@broker.example:6380/2"
    assert redact("redis://h?password=x&db=1") == "redis://h?password=***&db=1"


def test_spaces_around_a_url_do_not_matter() -> None:
    assert Connection(" redis://localhost:1/0\n").shown_url == "redis://localhost:1/0"
