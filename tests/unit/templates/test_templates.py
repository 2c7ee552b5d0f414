"""A template ends soon and makes no more than a prompt holds, whatever it computes. A huge row is not its fault."""

from __future__ import annotations

import json
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from common.errors import RowError, SpecError
from common.templates.budget import TEXT, TemplateRefused, TemplateTooLarge
from common.templates.prompt import PromptTemplate
from coordinator.plan.load import prepare

ROW: dict[str, Any] = {"a": "text", "n": 3, "words": ["one", "two"], "big": Decimal("1e999999999"), "turns": [{"b": 1}]}

DOUBLING = (
    "{% set ns = namespace(x=a) %}{% for i in range(60) %}{% set ns.x = REPLACED %}{% endfor %}{{ ns.x | length }}"
)
NESTING = (
    "{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ REPLACED }}"
)


@pytest.mark.parametrize(
    "template",
    [
        "{{ '%.999999999f' % 1 }}{{ a }}",
        "{{ '%.999999999f' % n }}",
        "{{ '%999999999s' % a }}",
        "{{ '%*d' % (999999999, n) }}",
        "{{ '%.999999999f' | format(n) }}",
        "{{ ('%s' * 100000000) | format(a) }}",
        "{{ '{:>999999999}'.format(a) }}",
        "{{ '{:>{w}}'.format(a, w=999999999) }}",
        "{{ '{a:>999999999}'.format_map({'a': a}) }}",
        "{{ 9**99999999 }}{{ a }}",
        "{{ n ** 99999999 }}",
        "{{ ('x' * 999999999) ~ a }}",
        "{{ 999999999 * a }}",
        "{{ [1] * 999999999 }}{{ a }}",
        "{% if 9**99999999 %}{{ a }}{% endif %}",
        "{% set x = 9**99999999 %}{{ a }}",
        "{% for i in range(999999999) %}{{ a }}{% endfor %}",
        "{% for i in range(100000) %}{% for j in range(100000) %}{{ a }}{% endfor %}{% endfor %}",
        "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}{{ a }}",
        "{% for i in range(90000) %}" + "x" * 10_000 + "{% endfor %}{{ a }}",
        "{% for x in words * 40000 recursive %}{{ loop(words * 40000) if loop.depth < 3 }}{% endfor %}",
        "{{ a | center(999999999) }}",
        "{{ 'x' | center(999999999) }}{{ a }}",
        "{{ a | indent(999999999) }}",
        "{{ ('\\n' * 9000) | indent('y' * 500000, true) ~ a }}",
        "{{ a.center(999999999) }}",
        "{{ a.ljust(999999999) }}",
        "{{ a['rjust'](999999999) }}",
        "{{ a.zfill(999999999) }}",
        "{{ '\t'.expandtabs(999999999) ~ a }}",
        "{{ ('x' * 100000).replace('x', 'y' * 100000) ~ a }}",
        "{{ ('x' * 100000) | replace('x', 'y' * 100000) ~ a }}",
        "{{ ('x' * 100000) | replace('', 'y' * 100000) ~ a }}",
        "{{ ('y' * 100000).join(range(100000) | map('string')) ~ a }}",
        "{{ range(100000) | join('y' * 100000) ~ a }}",
        "{{ ('x' * 100000).translate({120: 'y' * 100000}) ~ a }}",
        "{{ ('x ' * 100000) | wordwrap(1, wrapstring='y' * 100000) ~ a }}",
        "{{ ('x' * 9000000) | wordwrap(1) ~ a }}",
        "{{ words | batch(999999999, 'x') | list ~ a }}",
        "{{ words | slice(999999999) | list ~ a }}",
        "{{ turns | tojson(indent=999999999) }}",
        "{{ n | round(-999999999) }}",
        "{{ n | round(999999999, 'ceil') }}",
        "{{ big | int }}",
        "{{ '%d' % big }}",
        "{{ '{:f}'.format(big) }}",
        "{{ big.as_integer_ratio() }}",
        "{{ n.to_bytes(999999999, 'big') }}",
        "{{ ('<a' * 1000000) | striptags ~ a }}",
        "{{ ([['x'] * 50] * 20000) | sum(start=[]) | length ~ a }}",
        DOUBLING.replace("REPLACED", "ns.x ~ ns.x"),
        DOUBLING.replace("REPLACED", "ns.x + ns.x"),
        DOUBLING.replace("REPLACED", "ns.x * 2"),
        DOUBLING.replace("REPLACED", "[ns.x, ns.x] | join"),
        DOUBLING.replace("REPLACED", "'%s%s' % (ns.x, ns.x)"),
        DOUBLING.replace("REPLACED", "'{}{}'.format(ns.x, ns.x)"),
        DOUBLING.replace("REPLACED", "ns.x.replace('t', 'tt')"),
        NESTING.replace("REPLACED", "ns.x | tojson ~ a"),
        NESTING.replace("REPLACED", "ns.x ~ a"),
        NESTING.replace("REPLACED", "'%s' % ns.x ~ a"),
        NESTING.replace("REPLACED", "'{}'.format(ns.x) ~ a"),
        NESTING.replace("REPLACED", "ns.x | string ~ a"),
        NESTING.replace("REPLACED", "ns.x | pprint ~ a"),
        NESTING.replace("REPLACED", "[ns.x] | join ~ a"),
        NESTING.replace("REPLACED", "ns.x == ns.x + [] ~ a"),
        NESTING.replace("REPLACED", "a in ns.x"),
        "{% macro f(n) %}{{ f(n - 1) }}{{ f(n - 1) if n > 0 }}{% endmacro %}{{ f(50) }}{{ a }}",
        "{% macro f(n) %}{% if n > 0 %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(50) }}{{ a }}",
        "{% set l = range(100000) | list %}{% for i in l %}{{ i in l }}{% endfor %}{{ a }}",
        "{% set l = a * 1000000 %}{% for i in range(100000) %}{% set m = l[1:] %}{% endfor %}",
        "{% macro f() %}{% for i in range(9000) %}"
        + "x" * 10_000
        + "{% endfor %}{% endmacro %}{{ f() | length }}{{ a }}",
        "{% filter upper %}{% for i in range(9000) %}" + "x" * 10_000 + "{% endfor %}{% endfilter %}{{ a }}",
        "{{ ['x'] | map('center', 999999999) | list ~ a }}",
        "{{ words | map('(spend)', -999999999999) | list | length }}{{ 'x' * 999999999 }}",
        "{{ dict.fromkeys(range(100000), [a] * 100000) | string }}",
        "{{ range(100000) | sum }}" * 50 + "{{ a }}",
    ],
)
def test_a_template_that_makes_too_much_fails_the_row_at_once(template: str) -> None:
    began = time.process_time()
    made = PromptTemplate(template)
    with pytest.raises(RowError) as failed:
        made.render(ROW)
    assert time.process_time() - began < 10
    assert "print" not in str(failed.value)


def test_the_error_says_what_is_too_much() -> None:
    with pytest.raises(TemplateTooLarge, match=r"^template: it pads a value to 999,999,999 characters; at most 10,000"):
        PromptTemplate("{{ a.center(999999999) }}").render(ROW)
    with pytest.raises(TemplateTooLarge, match=r"^template: it makes more than 20,000,000 characters of this row"):
        PromptTemplate("{{ a * 99999999 }}").render(ROW)
    with pytest.raises(TemplateTooLarge, match=r"^template: it takes more than 1,000,000 steps"):
        PromptTemplate("{% for i in range(90000) %}{% for j in range(90) %}{{ i }}{% endfor %}{% endfor %}").render(ROW)
    with pytest.raises(TemplateTooLarge, match="a number of more than 4,000 digits"):
        PromptTemplate("{{ n ** 9999999 }}").render(ROW)


def test_a_method_that_no_template_may_call_is_refused_with_those_that_it_may() -> None:
    with pytest.raises(
        TemplateRefused, match=r"^template: int\.to_bytes may not be called .* these may: bit_count, bit_l"
    ):
        PromptTemplate("{{ n.to_bytes(2, 'big') }}").render(ROW)
    with pytest.raises(TemplateRefused, match=r"^template: 'idna' may not be used in a template; these may: utf-8, "):
        PromptTemplate("{{ a.encode('idna') }}").render(ROW)
    with pytest.raises(TemplateTooLarge, match=r"^template: its macros and loops call themselves too deeply"):
        PromptTemplate("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}").render(ROW)


def test_a_huge_row_is_rendered() -> None:
    text = "x y\n" * (TEXT // 3)
    row = {"a": text, "turns": [{"b": str(number)} for number in range(300_000)]}
    assert PromptTemplate("{{ a }}").render(row) == text
    assert PromptTemplate("{{ a | trim ~ '!' }}").render(row) == text.strip() + "!"
    looped = PromptTemplate("{% for turn in turns %}{{ loop.index }}: {{ turn.b | upper }}\n{% endfor %}").render(row)
    assert looped.count("\n") == 300_000
    assert len(PromptTemplate("{{ turns | tojson }}").render(row)) > 3_000_000


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{{ a }} {{ 2 ** 10 }} {{ n * 2 + 1 }} {{ n % 2 }} {{ 'ab' * 3 }}", "text 1024 7 1 ababab"),
        ("{{ a ~ '-' ~ n }} {{ '%s has %5.1f' % (a, n) }}", "text-3 text has   3.0"),
        ("{{ '{:>6}|{w}'.format(a, w=1) }}", "  text|1"),
        ("{{ a | center(10) }}|{{ 'x\ny' | indent(2) }}|{{ words | join(', ') }}", "   text   |x\n  y|one, two"),
        ("{% for w in words %}{{ loop.index }}/{{ loop.length }}{{ w if loop.last }} {% endfor %}", "1/2 2/2two "),
        ("{% for t in turns if t.b == 1 %}{{ t.b }}{% else %}none{% endfor %}", "1"),
        ("{% set x %}{{ a }}!{% endset %}{{ x | upper }}{{ x[1:3] }}", "TEXT!ex"),
        ("{% macro f(x, y=2) %}{{ x }}{{ y }}{% endmacro %}{{ f(a) }}", "text2"),
        ("{% macro f(x) %}{{ x }}{{ caller() }}{% endmacro %}{% call f(1) %}!{% endcall %}", "1!"),
        ("{{ words | map('upper') | list | tojson }}", '["ONE", "TWO"]'),
        ("{{ 'one' in words }} {{ n > 2 and a != 'b' }}", "True True"),
        ("{{ words | batch(3, 'x') | first | join }} {{ 1.256 | round(2) }} {{ n is odd }}", "onetwox 1.26 True"),
        ("{{ '<b>' | escape }} {{ ('%s' | safe) % '<' }}", "&lt;b&gt; &lt;"),
        ("{{ a.replace('t', 'T') }} {{ '-'.join(words) }}", "TexT one-two"),
        ("{% autoescape true %}{{ '<' ~ a }}{% endautoescape %}", "&lt;text"),
    ],
)
def test_what_templates_are_for_is_as_it_was(template: str, expected: str) -> None:
    assert PromptTemplate(template).render(ROW) == expected


@pytest.mark.parametrize(
    "template",
    ["{{ words.append(1) }}", "{{ turns[0].update(c=2) }}", "{{ words.pop() }}", "{{ words | indent }}"],
)
def test_a_template_changes_nothing_of_the_row(template: str) -> None:
    row: dict[str, Any] = {"words": ["one"], "turns": [{"b": 1}]}
    with pytest.raises(Exception, match=r"unsafe|indent takes text, but got a value of type list"):
        PromptTemplate(template).render(row)
    assert row == {"words": ["one"], "turns": [{"b": 1}]}


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{ " + "(" * 5_000 + "a" + ")" * 5_000 + " }}", "nested too deeply"),
        ("{% if a %}" * 200 + "{% endif %}" * 200, "nested too deeply"),
        ("{{ a }}" + "{{ [" * 10, "line 1 of the template"),
        ("{{ a }}{{ " + "9" * 5_000 + " }}", "a value in the template cannot be read"),
        ("{{ a }}" + "x" * 1_000_000, "at most 1,000,000 characters"),
        ("{{ a }}" * 6_000, "5,000 tags"),
        ("{{ a }}\n{{ a | centre(3) }}", "line 2 of the template: No filter named 'centre'"),
    ],
)
def test_a_template_that_cannot_be_compiled_is_named_by_file_and_line(
    tmp_path: Path, template: str, message: str
) -> None:
    began = time.process_time()
    spec = tmp_path / "spec.yaml"
    step = {"type": "TextGeneration", "after": "load", "llm": {"type": "EchoLLM"}, "template": template}
    load = {"type": "LoadDataFromDicts", "data": [{"a": "b"}]}
    spec.write_text(f'{{"name": "demo",\n"steps": {{"load": {json.dumps(load)},\n"ask": {json.dumps(step)}}}}}')
    with pytest.raises(SpecError) as refused:
        prepare(spec, (), ())
    assert str(refused.value).startswith(f"{spec}:3: step 'ask': TextGeneration")
    assert message in str(refused.value)
    assert len(str(refused.value)) < 2_000
    assert time.process_time() - began < 10
