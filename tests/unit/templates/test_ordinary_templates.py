"""Templates that people write pass over large documents: what is looked at is not charged as if it were made."""

from __future__ import annotations

import random
from typing import Any

import pytest
from jinja2.defaults import DEFAULT_FILTERS, DEFAULT_TESTS

from common.errors import RowError
from common.templates.prompt import PromptTemplate

_WORDS = ["Redis", "stream", "batch", "Worker", "row", "lease", "epoch", "journal", "<b>fold</b>", "it's"]
_CHOICE = random.Random(1)
DOCUMENT = "".join(_CHOICE.choice(_WORDS) + _CHOICE.choice("      ,.-\n") for _ in range(170_000))[:1_000_000]
ROW: dict[str, Any] = {
    "doc": DOCUMENT,
    "copy": DOCUMENT[:-1] + DOCUMENT[-1],
    "data": DOCUMENT.encode(),
    "entities": [f"entity number {number}" for number in range(990)] + ["Redis"] * 10,
    "messages": [
        {
            "role": "user" if number % 2 else "assistant",
            "content": f"message {number} " * 10,
            "id": number,
            "tags": ["a"],
        }
        for number in range(10_000)
    ],
    "few": [{"role": "user", "content": "hello"}],
    "question": "What is a stream?",
    "n": 3,
    "b": 1.5,
}

FILTERS = {
    "abs": "n | abs",
    "attr": "doc | attr('upper') is callable",
    "batch": "messages | batch(3, 'x') | list | length",
    "center": "doc | center(80) | length",
    "dictsort": "messages[0] | dictsort | length",
    "filesizeformat": "n | filesizeformat",
    "float": "n | float",
    "format": "'%s and %s' | format(doc, question) | length",
    "groupby": "messages | groupby('role') | length",
    "indent": "doc | indent(4) | length",
    "int": "n | int",
    "items": "messages[0] | items | list | length",
    "join": "messages | join('\n\n', attribute='content') | length",
    "map": "messages | map(attribute='content') | map('upper') | list | length",
    "max": "messages | max(attribute='id') | length",
    "min": "messages | min(attribute='content') | length",
    "pprint": "messages[:100] | pprint | length + (doc | pprint | length)",
    "random": "[1] | random",
    "reject": "entities | reject('in', doc) | list | length",
    "rejectattr": "messages | rejectattr('role', 'eq', 'user') | list | length",
    "replace": "doc | replace('e', 'three') | length",
    "round": "b | round(1)",
    "select": "entities | select('in', doc) | list | length",
    "selectattr": "messages | selectattr('role', 'in', ['user', 'system']) | list | length",
    "slice": "messages | slice(7) | list | length",
    "sort": "messages | sort(attribute='content') | length",
    "sum": "messages | sum(attribute='id') + (messages | sum('tags', []) | length)",
    "tojson": "messages | tojson | length + (doc | tojson(indent=2) | length)",
    "truncate": "doc | truncate(20)",
    "unique": "messages | unique(attribute='role') | list | length",
    "wordwrap": "doc | wordwrap(60, wrapstring='\n> ') | length",
    "xmlattr": "{'a': doc} | xmlattr | length",
}
"""The ones that take arguments, or another value than a document."""

METHODS = [
    *("capitalize", "casefold", "lower", "swapcase", "title", "upper", "strip", "lstrip", "rstrip", "encode"),
    *("split", "rsplit", "splitlines", "isalnum", "isalpha", "isascii", "isdigit", "islower", "isspace", "isupper"),
    *("isdecimal", "isidentifier", "isnumeric", "isprintable", "istitle", "expandtabs"),
]
CALLS = [
    *("center(80)", "ljust(80)", "rjust(80)", "zfill(80)", "count('Redis')", "endswith('.')", "startswith('Redis')"),
    *("find('nowhere')", "rfind('nowhere')", "index('Redis')", "rindex('Redis')", "partition('row')", "format(1)"),
    *("rpartition('row')", "removeprefix('Redis')", "removesuffix('.')", "replace('row', 'line')", "split('\n', 3)"),
    *("translate({10: '<br/>\n', 32: none})", "join(['a', 'b'])", "strip(' \n')", "rsplit(' ', 1)"),
]


@pytest.mark.parametrize("name", sorted(DEFAULT_FILTERS))
def test_every_filter_takes_a_large_document(name: str) -> None:
    assert PromptTemplate(f"{{{{ ({FILTERS.get(name, f'doc | {name}')}) is defined }}}}").render(ROW) == "True"


@pytest.mark.parametrize("name", sorted(DEFAULT_TESTS))
def test_every_test_takes_a_large_document_for_each_of_a_hundred_entities(name: str) -> None:
    given = {"divisibleby": "n is divisibleby 2", "odd": "n is odd", "even": "n is even", "in": "e is in doc"}
    tests = {"filter": "'e' is filter", "test": "'e' is test"} | given
    compared = name in ("sameas", "eq", "==", "equalto", "ne", "!=", "gt", ">", "greaterthan", "ge", ">=") or name in (
        *("lt", "<", "lessthan", "le", "<="),
    )
    if not name.isalpha():
        source = f"{{{{ [doc] | select('{name}', copy) | list | length }}}}"
    else:
        source = f"{{{{ ({tests.get(name, f'doc is {name} copy' if compared else f'doc is {name}')}) is boolean }}}}"
    assert PromptTemplate(f"{{% for e in entities[:100] %}}{source}{{% endfor %}}").render(ROW)


@pytest.mark.parametrize("call", [*(f"{name}()" for name in METHODS), *CALLS])
def test_every_method_takes_a_large_document(call: str) -> None:
    text = "doc" if not call.startswith(("format", "join")) else "(doc ~ '{}')"
    assert (
        PromptTemplate(f"{{{{ {text}.{call} is defined and (doc | safe).{call} is defined }}}}").render(ROW) == "True"
    )


@pytest.mark.parametrize(
    "template",
    [
        "{% for e in entities %}{% if e in doc %}{{ e }}{% endif %}{% endfor %}",
        "{% for e in entities if e not in doc %}{{ e }}{% endfor %}",
        "{% for e in entities %}{% if e | lower in doc | lower %}{{ e }}{% endif %}{% endfor %}",
        "{% for e in entities %}{% if e.lower() in doc.lower() %}{{ e }}{% endif %}{% endfor %}",
        "{% for e in entities %}{% if doc.startswith(e) or doc.endswith(e) %}{{ e }}{% endif %}{% endfor %}",
        "{% for e in entities %}{% if doc == copy or doc != e %}x{% endif %}{% endfor %}",
        "{% for e in entities %}{{ doc | truncate(20) }}{{ doc[:100] }}{{ doc | length }}{% endfor %}",
        "{% for e in entities %}{{ doc.find(e) }}{{ doc.count(e) }}{% endfor %}",
        "{% for e in entities %}{{ doc | default('') | length }}{{ doc | string | length }}{% endfor %}",
        "{% for e in entities %}{% set start = doc[200:] %}{{ start | first }}{% endfor %}",
        "{% for e in entities[:50] %}{{ doc | replace(e, '[' ~ e ~ ']') | length }}{% endfor %}",
        "{% for e in entities[:50] %}{% if e in doc.split() %}{{ e }}{% endif %}{% endfor %}",
        "{% for m in messages %}{{ m.role | capitalize }}: {{ m.content | trim }}\n{% endfor %}",
        "{% for m in messages if m.role == 'user' %}{{ loop.index }}. {{ m['content'] | upper }}{% endfor %}",
        "{% for m in messages %}{% if m == messages[-1] %}{{ m.content }}{% endif %}{% endfor %}",
        "{% for m in messages %}{{ m.content if loop.first or m.role != loop.previtem.role }}{% endfor %}",
        "{% set ns = namespace(text='') %}{% for m in messages[:1000] %}{% set ns.text = ns.text ~ m.content %}"
        "{% endfor %}{{ ns.text }}",
        "{% set ns = namespace(seen=[]) %}{% for m in messages[:1000] %}{% if m.content not in ns.seen %}"
        "{% set ns.seen = ns.seen + [m.content] %}{% endif %}{% endfor %}{{ ns.seen | join }}",
        "{% macro show(m) %}{{ m.role }}: {{ m.content }}{% endmacro %}{% for m in messages %}{{ show(m) }}"
        "{% endfor %}",
        "{% for role, group in messages | groupby('role') %}{{ role }}{% for m in group %}{{ m.content }}{% endfor %}"
        "{% endfor %}",
        "{% for e in entities %}{{ '%s: %s' % (e, doc.count(e)) }}{{ '{}: {:>8}'.format(e, n) }}{% endfor %}",
        "{{ doc ~ '\n\n' ~ question }}{{ '%s\n%s' % (doc, question) }}{{ '{}{}'.format(doc, question) }}",
        "{{ '%.100000s' % doc }}{{ '{:.100000}'.format(doc) }}",
        "{% set ids = messages | map(attribute='id') | list %}{% for m in messages[:5000] if m.id in ids %}x"
        "{% endfor %}",
        "{{ data | length }}{{ data.decode() | length }}{{ messages | tojson }}",
    ],
)
def test_what_people_write_passes_over_a_large_document(template: str) -> None:
    assert PromptTemplate(template + "{{ n }}").render(ROW).endswith("3")


def test_what_is_looked_at_for_too_long_is_said_in_true_words() -> None:
    template = PromptTemplate(
        "{% set d = a * 9000000 %}{% set e = a * 9000000 %}{% for i in range(9000) if d == e %}{% endfor %}"
    )
    with pytest.raises(RowError, match=r"takes more than 1,000,000 steps for this row .* 10,000 characters that one"):
        template.render({"a": "x"})
