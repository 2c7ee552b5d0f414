"""Whatever a template computes, it takes a bounded time and 256 MiB at most, and fails its row with a message."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.places import REPOSITORY

ROW: dict[str, Any] = {"a": "text", "n": 3, "b": 1.5, "words": ["one", "two"], "turns": [{"b": "1"}]}
HUGE = "999999999"
WORDS = ("TemplateTooLarge: template: ", "TemplateRefused: template: ")


def _loop(start: str, then: str, end: str = "ns.x | string | length", times: int = 60) -> str:
    return (
        f"{{% set ns = namespace(x={start}, y=a) %}}{{% for i in range({times}) %}}{{% set ns.x = {then} %}}"
        f"{{% endfor %}}{{{{ {end} }}}}"
    )


WIDTHS = [
    f"{{{{ '%0{HUGE}d' % n }}}}",
    f"{{{{ '%000000000000{HUGE}d' % n }}}}",
    f"{{{{ '%.000000000000{HUGE}f' % b }}}}",
    f"{{{{ '%.0{HUGE}d' % n }}}}",
    f"{{{{ '%*d' % ({HUGE}, n) }}}}",
    f"{{{{ '%-*d' % ({HUGE}, n) }}}}",
    f"{{{{ '%.*f' % ({HUGE}, b) }}}}",
    f"{{{{ '%(a)0{HUGE}d' % {{'a': n}} }}}}",
    f"{{{{ '%(a(b))0{HUGE}d' % {{'a(b)': n}} }}}}",
    f"{{{{ '%%%0{HUGE}d' % n }}}}",
    f"{{{{ ('%0{HUGE}d' | safe) % n }}}}",
    f"{{{{ '%0{HUGE}d' | format(n) }}}}",
    f"{{{{ ('%0{HUGE}d'.encode() % n) | length }}}}",
    "{{ '%9999s' * 9000 | int % words }}",
    "{{ ('%(a)s' * 9000) % {'a': 'x' * 9999 * 100} }}",
    "{{ ('%r' * 9000) % (('\\\\' * 99999,) * 9000) }}",
    f"{{{{ '{{:0>{HUGE}}}'.format(n) }}}}",
    f"{{{{ '{{:000000000000{HUGE}d}}'.format(n) }}}}",
    f"{{{{ '{{:.000000000000{HUGE}f}}'.format(b) }}}}",
    f"{{{{ '{{:{{w}}}}'.format(n, w='0000000000000{HUGE}') }}}}",
    f"{{{{ '{{:{{w}}}}'.format(n, w={HUGE}) }}}}",
    f"{{{{ '{{:>9{chr(0x0669) * 9}}}'.format(a) }}}}",
    f"{{{{ ('{{:>{HUGE}}}' | safe).format(n) }}}}",
    f"{{{{ '{{a:>{HUGE}}}'.format_map({{'a': a}}) }}}}",
    f"{{{{ ('{{a:>{HUGE}}}' | safe).format_map({{'a': a}}) }}}}",
    f"{{{{ (('{{:>{HUGE}}}' | safe) | attr('format'))(n) }}}}",
    "{{ ('{0}' * 100000).format('x' * 100000) }}",
    "{{ ('{0!r}' * 1000).format('\\\\' * 1000000) }}",
    "{{ ('{0[0]}' * 100000).format(['x' * 100000]) }}",
]
METHODS = [
    *(
        f"{{{{ {text}.{call} | length ~ a }}}}"
        for text in ("a", "(a | safe)", "a.encode()")
        for call in (f"ljust({HUGE})", f"rjust({HUGE})", f"center({HUGE})", f"zfill({HUGE})")
    ),
    *(
        f"{{{{ ({text} * 100000).{call} | length ~ a }}}}"
        for text in ("'x'", "('x' | safe)")
        for call in (
            "replace('', 'y' * 100000)",
            "replace('x', 'y' * 100000)",
            "translate({120: 'y' * 100000})",
            "translate(['y' * 100000] * 200)",
            "join(range(100000) | map('string'))",
            "join(['y'] * 300000)",
        )
    ),
    f"{{{{ ('\\t' * 9).expandtabs({HUGE}) ~ a }}}}",
    f"{{{{ ('\\t' | safe).expandtabs({HUGE}) ~ a }}}}",
    "{{ ('\\t' * 90000).encode().expandtabs(tabsize=9999) | length }}",
    f"{{{{ (a | safe) * {HUGE} }}}}",
    f"{{{{ {HUGE} * (a | safe) }}}}",
    f"{{{{ a.encode() * {HUGE} }}}}",
    f"{{{{ n.to_bytes({HUGE}, 'big') | length }}}}",
    "{{ n.from_bytes('x'.encode() * 10000000, 'big') }}",
    "{{ ('x' * 9000000).encode('idna') | length }}",
    "{{ ('\U0001f600' * 4000000).encode('ascii', 'namereplace') | length }}",
    "{{ ('x' * 19000000).split('x') | length }}",
    "{{ ('x ' * 9000000).split() | length }}",
    "{{ (('x ' * 9000000) | safe).split(' ') | length }}",
    "{{ ('\\r' * 9000000).splitlines() | length }}",
    "{{ (('<' * 19000000) | safe).striptags() | length ~ ('x' * 19000000) }}",
    "{{ ([(('\\\\' * 1000000) | safe).upper] * 900) | string | length }}",
    "{{ {}.fromkeys(range(100000), [a] * 100000) | string | length }}",
    "{{ ('a' * 9000000).rfind('b' + 'a' * 4000000) }}{% for i in range(9999) %}"
    "{{ ('a' * 9000000).rfind('b' + 'a' * 4000000) }}{% endfor %}",
    "{% for i in range(9999) %}{{ ('a' * 9000000).strip('b' * 900000 + 'a') | length }}{% endfor %}",
]
FILTERS = [
    f"{{{{ turns | tojson(indent={HUGE}) }}}}",
    "{{ ('\U0001f600' * 9000000) | tojson | length }}",
    "{{ ([[[[[[[[1] * 9] * 9] * 9] * 9] * 9] * 9]] * 2) | tojson(indent=99) | length }}",
    f"{{{{ a | indent({HUGE}) }}}}",
    "{{ ('\\r' * 1000000) | indent('y' * 1000) | length }}",
    "{{ ('\\n' * 1000000) | indent('y' * 1000, true, true) | length }}",
    "{{ ('x ' * 100000) | wordwrap(1, wrapstring='y' * 100000) | length }}",
    "{{ ('x' * 19000000) | wordwrap(1) | length }}",
    f"{{{{ words | batch({HUGE}, 'x') | list | length }}}}",
    f"{{{{ words | slice({HUGE}) | list | length }}}}",
    f"{{{{ words | slice({HUGE}, 'x') | list | length }}}}",
    "{{ ('a.' * 9000000) | urlize(target='y' * 1000) | length }}",
    "{{ ('(' * 4000000 ~ 'a' ~ ')' * 4000000) | urlize | length }}",
    "{{ {'a': '\"' * 9000000} | xmlattr | length }}",
    "{{ ('\U0001f600' * 9000000) | urlencode | length }}",
    "{{ ('\"' * 9000000) | escape | length }}",
    "{{ ('\\\\' * 9000000) | pprint | length }}",
    "{% autoescape true %}{{ '\"' * 9000000 }}{% endautoescape %}",
    "{% autoescape true %}{{ ('\"' * 9000000) ~ a }}{% endautoescape %}",
    f"{{{{ n | round({HUGE}, 'ceil') }}}}",
    f"{{{{ b | round(-{HUGE}) }}}}",
    "{{ [[1] * 300] * 30000 }}",
    "{{ ([[1] * 300] * 300) | sum(start=[]) | length ~ (([[1] * 300] * 900) | sum(start=[])) | length }}",
    "{{ ([{'b': [1] * 300}] * 9000) | sum('b', []) | length }}",
    "{{ range(100000) | map('string') | map('center', 9999) | list | length }}",
    "{{ range(100000) | map('string') | map('center', 9999) | unique | list | length }}",
    "{{ range(100000) | map('string') | map('center', 9999) | sort | length }}",
    "{{ range(100000) | map('string') | map('center', 9999) | groupby('0') | length }}",
    "{{ range(100000) | map('string') | map('center', 9999) | join | length }}",
    "{{ ([n] * 90000) | map(attribute='real.' * 900 ~ 'real') | list }}",
    "{{ ([turns[0]] * 9000) | map(attribute='b.' * 9000000) | list }}",
    "{{ ([turns[0]] * 9000) | sort(attribute='b,' * 9000000) }}",
    f"{{{{ words | map('center', {HUGE}) | list }}}}",
    "{{ [1] * 9000000 }}",
    "{{ (1,) * 9000000 }}",
    f"{{{{ range({HUGE}) | list | length }}}}",
    f"{{{{ range({HUGE}) | sum }}}}",
]
NUMBERS = [
    "{{ 9**99999999 }}",
    _loop("9", "ns.x * ns.x"),
    _loop("9", "ns.x ** 9"),
    _loop("9", "ns.x + ns.x", "ns.x", times=90_000),
    "{{ ('f' * 9000000) | int(base=16) }}",
    "{{ (('f' * 9000000) | int(base=16)) // (('e' * 4500000) | int(base=16)) }}",
    "{{ ('f' * 9000000) | int(base=16) is divisibleby 7 }}",
    f"{{{{ '{{:c}}'.format(65) }}}}{{{{ a * {HUGE} }}}}",
]
GROWTH = [
    *(_loop("a", then) for then in ("ns.x ~ ns.x", "ns.x + ns.x", "ns.x * 2", "[ns.x, ns.x] | join", "(ns.x, ns.x)")),
    *(
        _loop("[1]", then)
        for then in ("ns.x + ns.x", "ns.x * 2", "[ns.x, ns.x]", "{1: ns.x, 2: ns.x}", "[[ns.x], ns.x]")
    ),
    *(_loop("(a | safe)", then) for then in ("ns.x ~ ns.x", "ns.x + ns.x", "ns.x.replace('t', '<tt')")),
    *(
        _loop("a", then)
        for then in ("'%s%s' % (ns.x, ns.x)", "'{}{}'.format(ns.x, ns.x)", "'{0!r}'.format([ns.x] * 2)")
    ),
    _loop("[1]", "dict(a=ns.x, b=ns.x)"),
    _loop("[1]", "dict(a=ns.x, b=ns.x).values()"),
    _loop("[1]", "namespace(a=ns.x, b=[ns.x, ns.x])", "'x' * 99999999"),
    _loop("[1]", "[ns.x] * 2", "ns.x == 1"),
    _loop("[]", "ns.x + ['x' * 9999 ~ i]", times=90_000),
    _loop("()", "(ns.x, 'x' * 9999 ~ i)", times=90_000),
    _loop("()", "(ns.x,)", "{ns.x: 1} | length", times=90_000),
    _loop("words", "ns.x | map('upper')", "ns.x | list | length ~ 'x' * 99999999", times=20_000),
    "{% set ns = namespace(x='') %}{% for i in range(90000) %}{% set ns.x %}{{ ns.x }}{{ 'x' * 999 }}{% endset %}"
    "{% endfor %}",
    "{% macro f(n) %}" + "x" * 999 + "{{ f(n - 1) }}{{ f(n - 1) }}{% endmacro %}{{ f(50) }}",
    "{% macro f(n) %}x{% if n %}{{ f(n - 1) * 9 }}{% endif %}{% endmacro %}{{ f(50) }}",
    "{% filter center(999999999) %}x{% endfilter %}",
    "{% set x | center(999999999) %}x{% endset %}",
    "{% filter replace('x', 'y' * 100000) %}{{ 'x' * 100000 }}{% endfilter %}",
    "{{ cycler('x' * 9999999, 'y').next() * 9 }}",
    "{% set j = joiner('x' * 15000000) %}{{ j() ~ j() ~ j() }}",
    "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}",
    "{% for i in range(99999) %}" + "x" * 9_999 + "{% endfor %}",
]


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is limited as Linux does")
def test_hostile_templates_take_little_memory_and_time_and_fail_in_words() -> None:
    templates = [*WIDTHS, *METHODS, *FILTERS, *NUMBERS, *GROWTH]
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.render_limited"],
        input=json.dumps({"row": ROW, "templates": templates}),
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        timeout=100,
        check=False,
    )
    found = [json.loads(line) for line in done.stdout.splitlines()]
    wrong = [
        f"{template[:150]}: {result}"
        for template, result in zip(templates, found, strict=False)
        if result["seconds"] > 15 or result["raised"] is None or not result["raised"].startswith(WORDS)
    ]
    assert not wrong, "\n".join(wrong)
    assert len(found) == len(templates), f"{templates[len(found)][:200]}: {done.returncode} {done.stderr[-500:]}"
