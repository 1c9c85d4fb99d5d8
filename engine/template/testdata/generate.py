#!/usr/bin/env python3
"""Writes ansible.json: templates and the text that ansible-core's templar makes.

Run where ansible-core is installed:  python3 generate.py > ansible.json
Left out is what is meant to differ: a {{ number }} alone is a number (Ansible
makes text of it) and none alone is none, a function that is not known is refused
even where it is not called, and {% raw +%} is accepted. "file" cases are rendered as the template module does, "string" cases as text in
a playbook is. The seed is fixed, so that two runs give the same cases.
"""
import json
import random

from ansible.parsing.dataloader import DataLoader
from ansible.template import AnsibleEnvironment, Templar

VARS = {
    "n": 3, "s": "web", "yes": True, "no": False, "none_": None, "l": ["a", "b", "c"], "o": [],
    "d": {"x": 1, "y": 2}, "tree": [{"name": "a", "kids": [{"name": "b", "kids": []}, {"name": "c", "kids": []}]}],
    "num": "5", "jl": "[1, 2]", "p": [{"k": "q", "v": [1, 2]}, {"k": "r", "v": []}],
}
R = random.Random(42)
pick = R.choice


def space():
    return pick(["", " ", "\n", "  \n", "\n  ", "\n\n", " x ", "y\n", "text", "\n  z"])


def tag(inside):
    return "{%" + pick(["", "", "", "-", "+"]) + " " + inside + " " + pick(["", "", "", "-", "+"]) + "%}"


def value():
    return "{{" + pick(["", "", "-"]) + " " + pick([
        "n", "s", "l", "d", "n + 1", "l | join(',')", "s | upper", "none_", "yes", "missing | default('-')", "s ~ n", "'a\\tb'", "'}}'", "loop.index | default(0)", "x | default('nx')",
        "{'a': {'b': 1}}", "[1, 'z']", "num", "jl", "l[1:]", "n if yes else s", "n if no", "d.items() | map('list') | list", "\"it's\"", "1.0", "l | first", "m(s) if m is defined else '-'",
    ]) + " " + pick(["", "", "-"]) + "}}"


def body(depth):
    return "".join(space() + node(depth) for _ in range(pick([1, 1, 2, 3]))) + space()


def node(depth):
    if depth <= 0:
        return value()
    inner = lambda: body(depth - 1)
    return pick([
        value, value,
        lambda: tag("if " + pick(["yes", "no", "n > 2", "o", "missing is defined", "loop.first | default(false)"])) + inner() + (tag("elif n") + inner() if pick([0, 1]) else "") + (tag("else") + inner() if pick([0, 1]) else "") + tag("endif"),
        lambda: tag("for x in " + pick(["l", "o", "[1, 2]", "'ab'", "l if x != 'b'", "d", "range(2)", "p | map(attribute='k')"])) + inner() + pick(["", "{{ loop.index0 }}{{ loop.last }}", "{{ loop.cycle('o', 'e') }}{{ loop.length }}", "{{ loop.revindex }}{{ loop.depth }}", "{{ loop.changed(x) }}", "{{ loop.previtem | default('p') }}"]) + (tag("else") + inner() if pick([0, 0, 1]) else "") + tag("endfor"),
        lambda: tag("for a, b in d.items()") + "{{ a }}{{ b }}" + inner() + tag("endfor"),
        lambda: tag("for t in tree recursive") + "{{ t.name }}" + tag("if t.kids") + "({{ loop(t.kids) }})" + tag("endif") + tag("endfor"),
        lambda: tag("set x = " + pick(["n + 1", "'q'", "l"])) + inner(),
        lambda: tag("set x") + inner() + tag("endset") + "{{ x | trim }}",
        lambda: tag("set ns = namespace(c=0)") + tag("for i in l") + tag("set ns.c = ns.c + n") + tag("endfor") + "{{ ns.c }}",
        lambda: tag("macro m(a, b='B')") + "<{{ a }}{{ b }}" + inner() + ">" + tag("endmacro") + "{{ m(1) }}{{ m(b=2, a=s) }}",
        lambda: tag("macro c(v)") + "[{{ caller(v) }}]" + tag("endmacro") + tag("call(w) c(n)") + "{{ w }}" + inner() + tag("endcall"),
        lambda: tag("filter " + pick(["upper", "replace('a', 'b')", "trim | upper", "indent(2)"])) + inner() + tag("endfilter"),
        lambda: tag("with x = n, y = s") + "{{ x }}{{ y }}" + inner() + tag("endwith"),
        lambda: "{%" + pick(["", "", "-"]) + " raw " + pick(["", "-"]) + "%}" + pick(["{{ x }}", " {% if %} ", "\n{# #}\n", "a"]) + tag("endraw"),
        lambda: pick(["{# c #}", "{#- c -#}", "{# a\nb #}"]),
    ])()


def single():
    return pick([
        lambda: value(), lambda: "[" + value() + "]", lambda: "{" + "'k': " + value() + "}", lambda: value() + " ", lambda: "x" + value(), lambda: tag("if " + pick(["yes", "no"])) + "True" + tag("else") + "False" + tag("endif"),
        lambda: "[" + tag("for x in l") + "'{{ x }}'," + tag("endfor") + "]", lambda: value() + "\n", lambda: "{{ '" + pick(["\\n", "\\\\", "\\d+", "a\\tb", "\\1"]) + "' }}|", lambda: body(1),
    ])()


def render(kind, text):
    templar = Templar(loader=DataLoader(), variables=VARS)
    if kind == "string":
        return templar.template(text)
    templar.environment.trim_blocks = True
    return templar.template(text, preserve_trailing_newlines=True, convert_data=False, escape_backslashes=False)


def main():
    cases, known = [], set()
    while len(cases) < 1500:
        kind = pick(["file", "file", "string"])
        text = body(pick([1, 2, 2])) if kind == "file" else single()
        if kind == "string" and ("m(s)" in text or text.startswith(("{{ none_", "{{- none_"))):
            continue
        if (kind, text) in known or len(text) > 400:
            continue
        known.add((kind, text))
        case = {"kind": kind, "text": text}
        try:
            result = render(kind, text)
            if kind == "string" and text.startswith("{{") and text.endswith("}}") and text.count("{{") == 1 and isinstance(result, str) and result.replace(".", "").isdigit():
                continue
            case["json"] = json.dumps(result)
        except Exception as problem:
            case["error"] = type(problem).__name__
        if len(case.get("json", "")) < 1500:
            cases.append(case)
    print(json.dumps({"vars": json.dumps(VARS), "cases": cases}, indent=0))


main()
