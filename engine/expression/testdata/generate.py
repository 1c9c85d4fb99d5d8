#!/usr/bin/env python3
"""Writes ansible.json: expressions and what ansible-core's own templar makes of them.

Run where ansible-core is installed (2.14 is what the file in the repository was
made with):  python3 generate.py > ansible.json
Each case has the expression and either "json", its value through to_json, or
"error". Left out is what is meant to differ: tuples (ours are lists), anchors
in to_yaml, and cidr_merge('span') (netaddr 0.8 gives too large or too small
networks). The seed is fixed, so that two runs give the same cases.
"""
import json
import random

from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

VARS = {
    "i": 7, "j": -3, "z": 0, "f": 2.5, "s": "hello world", "t": "Web-01", "e": "", "u": "ünï ☃",
    "yes": True, "no": False, "none_": None,
    "l": [3, 1, 2], "w": ["b", "A", "c", "b"], "m": [1, "a", None, True, 2.5], "n": [[1, 2], [3, [4, None]]], "o": [],
    "d": {"b": 1, "a": 2}, "deep": {"x": {"y": [1, {"z": "q"}], "l": [1]}, "k": None},
    "p": [{"name": "ann", "age": 30, "g": ["x", "y"]}, {"name": "Bob", "age": 25, "g": ["y"]}, {"name": "cid", "age": 30, "g": []}],
    "r": {"changed": True, "failed": False, "rc": 0, "stdout": "a b\nc", "results": [{"changed": True}]},
    "path": "/usr/local/lib/file.tar.gz", "ml": "one\n  two\n\nthree ", "num": "42", "flt": "3.70", "js": '{"k": [1, 2.0, null, true], "a": "\\u00e9"}',
    "long": "The quick brown fox jumps over the lazy dog and then it runs away from the very angry bear again",
}

R = random.Random(20240229)
pick = R.choice


def integer(n):
    if n <= 0:
        return pick(["i", "j", "z", "1", "2", "10", "0", "-4", "3"])
    return pick([
        lambda: f"({integer(n-1)} {pick(['+', '-', '*', '//', '%'])} {integer(n-1)})",
        lambda: f"{array(n-1)} | length", lambda: f"({text(n-1)} | length)", lambda: f"({text(n-1)} | int)", lambda: f"({integer(n-1)} | abs)",
        lambda: f"({pick(['l', '[4, 2]', 'l + [i]'])} | {pick(['sum', 'min', 'max', 'first', 'last'])})",
        lambda: f"({integer(n-1)} if {boolean(n-1)} else {integer(n-1)})", lambda: f"l[{pick(['0', '1', '-1', 'i % 3'])}]",
        lambda: f"({number(n-1)} | int)", lambda: f"(2 ** {pick(['0', '3', '10'])})", lambda: f"-{integer(0)}", lambda: "d.a", lambda: "d['b']", lambda: "(p | sum(attribute='age'))",
        lambda: f"({text(n-1)}.{pick(['count', 'find'])}({text(0)}))", lambda: f"({text(n-1)} | wordcount)",
    ])()


def number(n):
    if n <= 0:
        return pick(["f", "1.5", "0.25", "-2.75", "1e3", "i"])
    return pick([
        lambda: f"({number(n-1)} {pick(['+', '-', '*', '/', '//', '%'])} {number(n-1)})", lambda: f"({number(n-1)} | round({pick(['', '1', '2', '0, ' + repr('ceil'), '1, ' + repr('floor')])}))",
        lambda: f"({text(n-1)} | float)", lambda: f"({number(n-1)} | abs)", lambda: f"({integer(n-1)} / {pick(['2', '4', '3'])})", lambda: f"({pick(['2', '4', '0.5'])} ** {pick(['2', '-1', '0.5'])})",
        lambda: f"({pick(['9', '2', '16'])} | root)", lambda: f"({pick(['8', '2'])} | pow({pick(['2', '0.5'])}))",
    ])()


def text(n):
    if n <= 0:
        return pick(["s", "t", "e", "u", "'a'", "'b,c'", "'x y'", "path", "num", "flt", "\"it's\"", "'tab\\there'", "ml", "long"])
    return pick([
        lambda: f"({text(n-1)} ~ {anything(n-1)})", lambda: f"({text(n-1)} + {text(n-1)})", lambda: f"({text(n-1)} | {pick(['upper', 'lower', 'title', 'capitalize', 'trim', 'string', 'reverse', 'quote', 'basename', 'dirname', 'b64encode', 'hash', 'checksum', 'md5', 'to_uuid', 'regex_escape', 'urlencode', 'comment', 'indent', 'escape', 'striptags'])})",
        lambda: f"{text(n-1)}.{pick(['upper', 'lower', 'title', 'capitalize', 'strip', 'lstrip', 'rstrip', 'swapcase'])}()",
        lambda: f"({text(n-1)} | replace({text(0)}, {text(0)}))", lambda: f"({text(n-1)} | regex_replace({pattern()}, {pick([repr('<>'), repr(chr(92)+'1'), repr(chr(92)+'g<0>!')])}))" ,
        lambda: f"({array(n-1)} | join({pick(['', repr(','), repr('-')])}))", lambda: f"({anything(n-1)} | string)", lambda: f"({anything(n-1)} | to_json)", lambda: f"({anything(n-1)} | to_nice_json)",
        lambda: f"({anything(n-1)} | to_yaml)", lambda: f"({anything(n-1)} | to_nice_yaml)", lambda: f"({anything(n-1)} | type_debug | replace('AnsibleUnicode', 'str') | replace('NativeJinjaText', 'str'))",
        lambda: f"({text(n-1)})[{pick(['0:2', '1:', '::-1', '-3:', ':100', '1:8:3', '-2::-1'])}]", lambda: f"({boolean(n-1)} | ternary({text(n-1)}, {text(n-1)}))", lambda: f"({text(n-1)} if {boolean(n-1)} else {text(n-1)})",
        lambda: f"({text(n-1)} | default({text(0)}, true))", lambda: f"({pick(['missing', 'd.zz', 'deep.x.q.r'])} | default({text(0)}))", lambda: f"'{pick(['%s', '%r', '%5s|', '%-5s|'])}' | format({anything(n-1)})",
        lambda: f"'{pick(['%d', '%05d', '%x', '%+d', '%5.2f', '%e', '%g'])}' | format({integer(n-1)})", lambda: f"'{pick(['{}', '{0}-{0}', '{:>8}|', '{:<8}|', '{:^9}|', '{!r}'])}'.format({text(n-1)})", lambda: f"'{pick(['{:d}', '{:05d}', '{:x}', '{:,}', '{:+.2f}', '{:>6}', '{:<6}|', '{:e}', '{:.3g}', '{:%}'])}'.format({integer(n-1)})",
        lambda: f"({integer(n-1)} | human_readable)", lambda: f"({text(n-1)} | truncate({pick(['5', '9', '12, true', '8, false, ' + repr('..')])}))", lambda: f"({text(n-1)} | center(12))", lambda: f"({text(n-1)} | indent({pick(['2', '3, true', '2, false, true'])}))",
        lambda: f"({text(n-1)} | regex_search({pattern()}) | string)", lambda: f"{text(n-1)}.{pick(['ljust', 'rjust', 'center', 'zfill'])}(9)", lambda: f"(p | map(attribute='name') | {pick(['first', 'last', 'min', 'max', 'join', 'sort | first'])})",
        lambda: f"({text(n-1)} | {pick(['trim', 'wordwrap(20)', 'hash(' + repr('sha256') + ')'])})", lambda: "(path | splitext | last)", lambda: f"([path, {text(0)}, 'x'] | path_join)",
    ])()


def pattern():
    return pick(["'[a-z]+'", "'o'", "'(l+)o'", "'^.'", "'.$'", "'(\\\\w)(\\\\w)'", "'\\\\s+'", "'(?i)WEB'", "'x(?=y)'", "'(?P<n>[0-9])'"])


def array(n):
    if n <= 0:
        return pick(["l", "w", "m", "o", "n", "p", "[1, 2, 3]", "['a', 'b']"])
    return pick([
        lambda: f"[{anything(n-1)}, {anything(n-1)}]", lambda: f"({array(n-1)} + {array(n-1)})", lambda: f"({pick(['l', 'w', '[3, 1.5, 2]'])} | sort{pick(['', '(reverse=true)', '(case_sensitive=true)'])})", lambda: f"({array(n-1)} | {pick(['unique', 'reverse | list', 'list', 'flatten', 'flatten(levels=1)', 'flatten(skip_nulls=false)'])})",
        lambda: f"({array(n-1)} | {pick(['union', 'intersect', 'difference', 'symmetric_difference'])}({array(n-1)}))", lambda: f"({text(n-1)}.split({pick(['', repr(' '), repr('o'), repr('-'), repr(' ') + ', 1'])}))", lambda: f"({array(n-1)})[{pick(['1:', ':2', '::-1', '::2', '-2:', '0:9:2', '5:0:-1'])}]",
        lambda: f"(p | {pick(['map', 'map'])}(attribute='{pick(['name', 'age', 'g', 'g.0'])}'{pick(['', ', default=0'])}) | list)", lambda: f"(p | {pick(['selectattr', 'rejectattr'])}('{pick(['age', 'name'])}', {pick([repr('equalto') + ', 30', repr('==') + ', ' + repr('ann'), repr('in') + ', [30, ' + repr('Bob') + ']', repr('defined'), repr('string')])}) | map(attribute='name') | list)",
        lambda: f"({pick(['l', '[1, 2, 3, 4]'])} | {pick(['select', 'reject'])}({pick([repr('odd'), repr('even'), repr('gt') + ', 1', repr('divisibleby') + ', 2'])}) | list)", lambda: f"({array(n-1)} | {pick(['select', 'reject'])}({pick([repr('string'), repr('none'), repr('number'), repr('mapping'), repr('truthy'), repr('defined'), repr('sequence'), ''])}) | list)",
        lambda: f"({array(n-1)} | map('{pick(['string', 'type_debug', 'to_json', 'list', 'int', 'bool', 'upper', 'length'])}') | list)", lambda: f"({array(n-1)} | {pick(['batch(2)', 'slice(2)', 'batch(2, 0)', 'slice(2, 0)'])} | list)", lambda: f"({array(n-1)} | {pick(['zip', 'product'])}({array(0)}) | map('list') | list)", lambda: f"(p | groupby('{pick(['age', 'name'])}') | map('list') | list)", lambda: f"({mapping(n-1)} | dict2items)",
        lambda: f"({mapping(n-1)}.{pick(['keys() | list', 'values() | list', 'items() | map(' + repr('list') + ') | list'])})", lambda: f"({mapping(n-1)} | list)", lambda: f"({mapping(n-1)} | dictsort | map('list') | list)", lambda: f"(range({pick(['3', '1, 4', '5, 0, -2', '0'])}) | list)", lambda: f"({text(n-1)} | regex_findall({pick([repr('[a-z]+'), repr('o'), repr('(l+)o'), repr('(?i)WEB|b')])}))", lambda: f"({text(n-1)} | list)", lambda: f"(p | subelements('g'{pick(['', ', skip_missing=true'])}) | map('list') | list)",
        lambda: f"(['a', 'b'] | map('extract', d) | list)", lambda: f"({array(n-1)} if {boolean(n-1)} else {array(n-1)})", lambda: f"({text(n-1)} | split({pick(['', repr(','), repr('l')])}))", lambda: "(path | splitext | list)", lambda: f"({text(n-1)}.{pick(['splitlines()', 'partition(' + repr('-') + ') | list', 'rpartition(' + repr(' ') + ') | list', 'rsplit(' + repr(' ') + ', 1)', 'rsplit()'])})",
        lambda: f"({array(n-1)} | zip_longest({array(0)}, fillvalue='-') | map('list') | list)", lambda: f"([1, 2, 3] | {pick(['combinations(2)', 'permutations(2)'])} | map('list') | list)", lambda: f"({array(n-1)} * {pick(['0', '2'])})",
    ])()


def mapping(n):
    if n <= 0:
        return pick(["d", "deep", "r", "{'x': 1}", "{}"])
    return pick([
        lambda: f"{{'k': {anything(n-1)}, 'a': {anything(n-1)}}}", lambda: f"({mapping(n-1)} | combine({mapping(n-1)}{pick(['', ', recursive=true', ', recursive=true, list_merge=' + repr('append'), ', recursive=true, list_merge=' + repr('prepend_rp')])}))", lambda: "p[0]", lambda: "(js | from_json)", lambda: f"({mapping(n-1)} | to_json | from_json)",
        lambda: f"({mapping(n-1)} | dict2items | items2dict)", lambda: f"({mapping(n-1)} | to_nice_yaml | from_yaml)", lambda: f"dict(a={anything(n-1)}, b=2)", lambda: f"(dict([['q', {anything(n-1)}]]))", lambda: f"({mapping(n-1)} | to_yaml | from_yaml)",
    ])()


def boolean(n):
    if n <= 0:
        return pick(["yes", "no", "true", "false"])
    return pick([
        lambda: f"({integer(n-1)} {pick(['<', '<=', '>', '>=', '==', '!='])} {number(n-1)})", lambda: f"({text(n-1)} {pick(['==', '!=', '<', '>', 'in', 'not in'])} {text(n-1)})", lambda: f"({anything(n-1)} {pick(['==', '!='])} {anything(n-1)})", lambda: f"({anything(n-1)} {pick(['in', 'not in'])} {array(n-1)})",
        lambda: f"(not {anything(n-1)})", lambda: f"({integer(n-1)} < {integer(n-1)} <= {integer(n-1)})", lambda: f"({anything(n-1)} is {pick(['', 'not '])}{pick(['none', 'string', 'number', 'mapping', 'sequence', 'iterable', 'boolean', 'integer', 'float', 'truthy', 'falsy', 'defined', 'true', 'false'])})",
        lambda: f"({pick(['missing', 'd.zz', 'deep.x.q', 'p[9]', 'i', 'deep.k'])} is {pick(['defined', 'undefined', 'not defined'])})", lambda: f"({integer(n-1)} is {pick(['odd', 'even', 'divisibleby 3'])})", lambda: f"({text(n-1)} is {pick(['match', 'search', 'regex'])}({pattern()}))", lambda: f"({array(n-1)} is contains({anything(0)}))", lambda: f"({pick(['l', '[1]', 'w'])} is {pick(['subset', 'superset'])}({pick(['l', '[1, 2, 3, 4]', 'w'])}))",
        lambda: f"(r is {pick(['changed', 'failed', 'succeeded', 'skipped', 'not changed'])})", lambda: f"('{pick(['1.2', '1.10', '2.0.1', '1.0rc1', '3'])}' is version('{pick(['1.2', '1.9', '1.2.0', '1.0', '1.0a'])}', '{pick(['<', '>=', '==', '!=', 'gt'])}'))", lambda: f"({anything(n-1)} | bool)", lambda: f"({text(n-1)} is {pick(['lower', 'upper'])})", lambda: f"{text(n-1)}.{pick(['startswith', 'endswith'])}({text(0)})", lambda: f"{text(n-1)}.{pick(['isdigit', 'isalpha', 'isupper', 'islower', 'isspace', 'isalnum'])}()",
        lambda: f"({array(n-1)} is {pick(['any', 'all'])})", lambda: f"('{pick(['1.0.0', '1.0.0-rc.1', '1.0.0-alpha', '2.1.0'])}' is version('{pick(['1.0.0', '1.0.0-rc.2', '1.0.0-1'])}', '{pick(['<', '>', '=='])}', version_type='semver'))",
    ])()


def anything(n):
    return pick([integer, number, text, array, mapping, boolean, lambda k: f"({anything(k-1) if k > 0 else 'i'} {pick(['and', 'or'])} {anything(k-1) if k > 0 else 'e'})", lambda k: "none"])(n)


NETS = "['10.0.0.1', '10.0.0.0/8', '10.0.0.1/8', '::1', '2001:db8::/32', '224.0.0.1', '8.8.8.8', '100.64.0.1', 'x', '255.255.0.0', '0.0.0.255', '192.168.1.1', 'fe80::1', '00:11:22:33:44:55']"
TIMES = ["'2024-02-29 12:30:00'", "'2023-12-31 00:00:01'", "'1999-01-01 23:59:59'", "'2024-02-30 00:00:00'"]


def newer():
    """What came later than the rest: lookups, passwords, times, networks."""
    lookup = pick(["lookup", "query", "q", "lookup"])
    time = lambda: f"({pick(TIMES)} | to_datetime)"
    mac = lambda: pick(["'00:1b:77:49:54:FD'", "'001b774954fd'", "'00-1b-77-49-54-fd'", "'001b.7749.54fd'", "'0:1b:77:49:54:fd'", "'x'"])
    net = lambda: pick(["'192.168.1.5/24'", "'10.0.0.0/30'", "'10.0.0.1'", "'10.1.2.3/28'", "'fd00::/126'", "'fd00::1/64'", "'x'"])
    return pick([
        lambda: f"{lookup}('items', {array(1)}, {anything(1)})", lambda: f"{lookup}('list', {anything(1)}, {anything(0)})", lambda: f"{lookup}('dict', {mapping(1)})",
        lambda: f"({lookup}('indexed_items', {array(1)}) | map('list') | list)", lambda: f"query('nested', {array(0)}, {array(0)})", lambda: f"query('together', {array(0)}, {array(0)})",
        lambda: f"{lookup}('sequence', '{pick(['start=1 end=3', 'count=4', 'start=0 count=3 stride=2', 'end=3 format=x%02d', '5', '2-8/2', '1-3:h%d', 'start=5 end=1 stride=-2', 'start=3 end=1', 'count=0'])}')",
        lambda: f"{lookup}('vars', '{pick(['i', 's', 'l', 'd', 'missing'])}'{pick(['', ', default=' + anything(0)])})", lambda: f"{lookup}('env', '{pick(['NO_SUCH_VARIABLE', 'HOME_NOT_THERE'])}'{pick(['', ', default=' + repr('x')])})",
        lambda: f"{lookup}('varnames', '{pick(['^no', '^dee', 'ml$', '^zzz'])}')", lambda: f"(query('subelements', {pick(['p', 'deep', '[{' + repr('a') + ': [1, 2], ' + repr('b') + ': 3}]'])}, '{pick(['g', 'a', 'zz'])}'{pick(['', ', {' + repr('skip_missing') + ': true}'])}) | map('list') | list)",
        lambda: f"{lookup}('pipe', '{pick(['echo a', 'printf x', 'printf a,b', 'exit 3'])}'{pick(['', ', errors=' + repr('ignore')])})", lambda: f"{lookup}('lines', '{pick(['echo a; echo b', 'true', 'echo x'])}')",
        lambda: f"({text(0)} | password_hash('{pick(['md5', 'sha512', 'sha256', 'bcrypt'])}', '{pick(['saltsalt', 'ab.d/f', '1234567890123456789012'])}'{pick(['', ', rounds=5000', ', rounds=4', ', rounds=1000'])}))",
        lambda: f"({pick(['i', '100', '7'])} | random({pick(['', 'start=2, ', 'step=3, ', '1, 2, '])}seed={pick(['s', '42', repr('x'), '-1', '0'])}))", lambda: f"({array(0)} | {pick(['random', 'shuffle'])}(seed={pick(['s', '42', repr('y')])}))",
        lambda: f"({time()} - {time()}).{pick(['total_seconds()', 'days', 'seconds', 'microseconds'])}", lambda: f"(({time()} {pick(['-', '<', '==', '>='])} {time()}) | string)", lambda: f"{time()}.{pick(['strftime(' + repr('%Y/%j %H:%M') + ')', 'isoformat()', 'year', 'minute', 'weekday()'])}",
        lambda: f"({pick(['1612345678', '0', '86399.5'])} | string | {pick(['float', 'int'])})", lambda: f"('%Y-%m-%d %H:%M:%S' | strftime({pick(['0', '1612345678', '86400'])}, utc=true))",
        lambda: f"(({pick([repr('a: 1') , 'ml', 'js', repr('- 1')])} ~ '\n---\n' ~ {pick([repr('b: 2'), repr('x')])}) | from_yaml_all | list)", lambda: f"({mapping(1)} | xmlattr{pick(['', '(false)'])})",
        lambda: f"({pick([repr('C:') + ' ~ ' + text(0), text(0), repr('C:/a/b.txt'), repr('//srv/share/x/y')])} | {pick(['win_basename', 'win_dirname', 'win_splitdrive | list'])})",
        lambda: f"({mac()} | ansible.utils.{pick(['hwaddr', 'macaddr'])}('{pick(['', 'bare', 'bool', 'cisco', 'linux', 'unix', 'win', 'pgsql', 'int', 'no'])}'))",
        lambda: f"({net()} | ansible.utils.{pick(['next_nth_usable', 'previous_nth_usable'])}({pick(['1', '3', '-1', '20'])}))", lambda: f"([{net()}, {net()}] | ansible.utils.cidr_merge)", lambda: f"({net()} | ansible.utils.usable_range)" if pick([0, 1]) else "('10.0.0.0/30' | ansible.utils.usable_range)",
        lambda: f"({net()} | ansible.utils.slaac({mac()}))", lambda: f"({pick([repr('10.1.2.3'), repr('255.0.16.1')])} | ansible.utils.ip4_hex{pick(['', '(' + repr(':') + ')'])})",
        lambda: f"({NETS} | select('ansible.utils.{pick(['ip', 'ipv4', 'ipv6', 'ip_address', 'ipv4_address', 'ipv6_address', 'loopback', 'multicast', 'unspecified', 'private', 'public', 'reserved', 'ipv4_netmask', 'ipv4_hostmask', 'mac'])}') | list)",
        lambda: f"({NETS} | select('ansible.utils.{pick(['in_network', 'subnet_of', 'supernet_of'])}', {pick([repr('10.0.0.0/8'), repr('10.0.0.1'), repr('::/0'), repr('0.0.0.0/0')])}) | list)", lambda: f"({NETS} | select('ansible.utils.{pick(['in_any_network', 'in_one_network'])}', ['10.0.0.0/8', '10.0.0.0/16', '192.168.0.0/16']) | list)",
    ])()


def main():
    templar = Templar(loader=DataLoader(), variables=VARS)
    cases, known = [], set()
    while len(cases) < 5000:
        depth = pick([1, 1, 2, 2, 3])
        expression = pick([integer, number, text, array, mapping, boolean, anything])(depth) if len(cases) < 4000 else newer()
        if expression in known or len(expression) > 300:
            continue
        known.add(expression)
        case = {"expr": expression}
        try:
            case["json"] = str(templar.template("{{ (" + expression + ") | to_json }}", convert_data=False, escape_backslashes=False))
            if len(case["json"]) > 2000 or "&id0" in case["json"]:
                continue
        except Exception as problem:
            case["error"] = type(problem).__name__
        if "error" in case and R.random() < 0.6:
            continue
        cases.append(case)
    print(json.dumps({"vars": json.dumps(VARS), "cases": cases}, ensure_ascii=False, indent=0))


main()
