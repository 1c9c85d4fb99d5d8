#!/usr/bin/env python3
"""Writes ansible.json: YAML texts and what ansible-core's own loader reads.

Run where ansible-core is installed:  python3 generate.py > ansible.json
Left out is what is meant to differ: timestamps (ours stay text), keys that are
not text (ours become text), duplicate keys (ours are refused), what PyYAML
breaks off at (=, <<, 0b_, [a:]) and ours reads as text, and numbers that YAML
and JSON read differently (Ansible tries JSON first).
"""
import itertools
import json

from ansible.parsing.dataloader import DataLoader

SCALARS = """yes no Yes NO true False on Off y n Y N ~ null Null none None 0 1 -1 +1 007 0644 0o644 08 0x1F 0xg 0b101 1_000 1__0 _1 1_ 1:30 1:30:00 0:30 1:60 190:20:30
1.5 .5 5. 1e3 1.0e3 1.0e+3 1.0E-3 1_0.5 -.5 +.inf .INF .nan .NaN 1:30.5 -1:30 . - -- --- 1.2.3 1,000 0. -0 -0.0 00 0x 0b 9223372036854775807 1e+3 +12e03 685.230_15e+03
a: a:b http://x/y {} [] [1,2] {a: 1} "1" '1' 'it''s' "a\\tb" "\\x41\\u00e9" a#b foo,bar *.txt %d `x` @x !x &a tRUE nULL 0777 -0644 1-2 12:30:45 aé ☃ true. .true""".split()

DOCUMENTS = [
    "a: |\n  x\n    y\n\n  z\nb: 1\n", "a: >\n  x\n  y\n\n  z\n    w\n  v\n", "a: |-\n  x\n\nb: 1\n", "a: |+\n  x\n\nb: 1\n", "a: >-\n x\n y\n", "a: |2\n   x\n  y\n",
    "a: x\n  y\n  z\n", "a: 'x\n  y\n\n  z'\n", 'a: "x\\\n  y\n  z"\n', "- a\n- b: 1\n  c: 2\n-\n  - d\n", "a: &x {b: 1, c: 2}\nd: *x\ne:\n  <<: *x\n  c: 3\n", "a: &x {b: 1}\nb: &y {b: 2, c: 3}\nc: {<<: [*x, *y], d: 4}\n",
    "? a\n: b\n", "{a: 1, b: [x, 'y', \"z\"], c: {d: ~}}\n", "# c\na: 1 # d\n", "---\na: 1\n", "---\na: 1\n...\n", "a:\n- 1\n- 2\nb:\n  - 3\n", "a:\nb: ''\n", "%YAML 1.1\n---\na: 1\n", "a: !!str 5\nb: !!int '5'\nc: !!float 5\n",
    "a: 'x: y'\n", "key with space: 1\n'quoted': 2\n", "\ufeffa: 1\n", "a: b  \nc: d\t\n", "a: |\n\n  x\n", "a: ' lead'\nb: 'x\\n'\n", "- - - 1\n", "a: >\n\n  x\n\n\n  y\n", "", "# only\n", "5\n", "a: -\n",
    "a:\n  - b\n  -\n    c: 1\n", "x: [a, b,]\n", "x: {a, b: 1}\n", "\"a b\": 1\n", "a: 1\n\n\n\nb: 2", "a: 'tab\there'\n", "a: \"\\N\\_\\e\\0\"\n", "a: x # y\nb: x#y\n", "a: http://h:80/p?q#f\n", "a: b:c\n", "a: [x y, z]\n", "a: {x: y z}\n",
]


def read(text):
    case = {"text": text}
    try:
        case["json"] = json.dumps(DataLoader().load(text, show_content=False), sort_keys=True)
    except Exception:
        case["error"] = True
    return case


def main():
    flow = [scalar for scalar in SCALARS if scalar not in ("a:", "1e3", "1.0e3", "1e+3")]
    texts = [f"v: {scalar}\n" for scalar in SCALARS] + [f"- {scalar}\n" for scalar in SCALARS] + [f"[{a}, {b}]\n" for a, b in itertools.islice(itertools.combinations(flow, 2), 0, 3000, 7)]
    print(json.dumps([read(text) for text in texts + DOCUMENTS], indent=0))


main()
