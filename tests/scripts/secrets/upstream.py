"""The positives and negatives that stand beside the rules of Betterleaks, as files that a scan can be run over.

    pip install rstr
    python3 upstream.py GO_RULES_DIRECTORY OUT
    cargo run --release -p krins-core --example secrets_speed -- OUT --json > found.jsonl
    python3 upstream.py OUT found.jsonl

The first call writes OUT/positive/RULE/N.txt and OUT/negative/RULE/N.txt, the second says how many of the positives were
found, by whichever rule, and how many of the negatives by their own. Values that upstream makes from a pattern are made
from the same pattern here, with a fixed seed.
"""
import json, math, os, random, re, sys

PATTERNS = {
    'Hex': '[a-f0-9]{%s}', 'AlphaNumeric': '[a-z0-9]{%s}', 'Numeric': '[0-9]{%s}',
    'AlphaNumericExtended': '[a-z0-9=_\\-]{%s}', 'AlphaNumericExtendedShort': '[a-z0-9_-]{%s}',
    'AlphaNumericExtendedLong': '[a-z0-9\\/=_\\+\\-]{%s}',
}
SAMPLES = [
    '{i}Token="{s}"', '{i}Token = "{s}"', '{i}Token={s}', '{i}Token = {s}', '{\n    "{i}_token": "{s}"\n}',
    '{"config.ini": "{I}_TOKEN={s}\\nBACKUP_ENABLED=true"}', '<{i}Token>\n    {s}\n</{i}Token>', '{i}_token: {s}',
    "{i}_token: '{s}'", '{i}_token: "{s}"', 'string {i}Token = "{s}";', 'var {i}Token string = "{s}"', '{i}Token := "{s}"',
    '{i}Token := `{s}`', 'String {i}Token = "{s}";', 'var {i}Token = "{s}"', '${i}Token .= "{s}"', "{i}Token = '{s}'",
    'System.setProperty("{I}_TOKEN", "{s}")', '  "{i}Token" => "{s}"', '{i}_TOKEN = "{s}"', '{i}_TOKEN := "{s}"',
    '{i}_TOKEN ::= "{s}"', '{i}_TOKEN :::= "{s}"', '{i}_TOKEN ?= "{s}"',
]
TOKEN = re.compile(r'"(?:[^"\\\n]|\\.)*"|`[^`]*`|[\w.]+|[+(),{}]|\S', re.S)


class Unknown(Exception):
    pass


def entropy(text):
    return -sum(p * math.log2(p) for p in (text.count(c) / len(text) for c in set(text)))


class Reader:
    """Go's string expressions, as far as the rule files use them."""

    def __init__(self, text, make):
        self.tokens = [t for t in TOKEN.findall(re.sub(r'^\s*//.*$', '', text, flags=re.M))]
        self.at, self.make, self.names = 0, make, {}

    def peek(self):
        return self.tokens[self.at] if self.at < len(self.tokens) else ''

    def take(self, wanted=None):
        token = self.peek()
        if wanted and token != wanted:
            raise Unknown(f'{token} for {wanted}')
        self.at += 1
        return token

    def sum(self):
        value = self.term()
        while self.peek() == '+':
            self.take()
            value = value + self.term()
        return value

    def term(self):
        token = self.take()
        if token[0] == '`':
            return token[1:-1]
        if token[0] == '"':
            return json.loads(re.sub(r'\\x([0-9a-f]{2})', r'\\u00\1', token))
        if token == '(':
            value = self.sum()
            self.take(')')
            return value
        if self.peek() == '(':
            self.take('(')
            arguments = []
            while self.peek() != ')':
                arguments.append(self.sum() if not re.match(r'^[\d.]+$', self.peek()) else float(self.take()))
                if self.peek() == ',':
                    self.take()
            self.take(')')
            return self.call(token, arguments)
        if token in self.names:
            return self.names[token]
        raise Unknown(token)

    def call(self, name, arguments):
        short = name.split('.')[-1]
        if short in PATTERNS:
            return PATTERNS[short] % arguments[0]
        if short in ('NewSecret', 'newPlausibleSecret'):
            return self.make(arguments[0], 0.0)
        if short == 'NewSecretWithEntropy':
            return self.make(arguments[0], arguments[1])
        if short == 'GenerateSampleSecret':
            return f'{arguments[0]}_api_token = "{arguments[1]}"'
        if short == 'ToUpper':
            return arguments[0].upper()
        if short == 'GenerateSampleSecrets':
            fill = lambda s: s.replace('{i}', arguments[0]).replace('{I}', arguments[0].upper()).replace('{s}', arguments[1])
            return [fill(sample) for sample in SAMPLES]
        raise Unknown(name)

    def list(self, end):
        """Elements up to the bracket; those that cannot be read are left out, and counted."""
        found, lost = [], 0
        while self.at < len(self.tokens) and self.peek() != end:
            start = self.at
            try:
                value = self.sum()
                if self.peek() not in (',', end):
                    raise Unknown(self.peek())
                found.extend(value if isinstance(value, list) else [value])
            except (Unknown, TypeError, ValueError, IndexError):
                lost += 1
                self.at, depth = start, 0
                while self.at < len(self.tokens):
                    depth += (self.peek() in '({') - (self.peek() in ')}')
                    if depth < 0 or depth == 0 and self.peek() == ',':
                        break
                    self.at += 1
            if self.peek() in (',', '.'):
                self.at += 1
        return found, lost


def collect(directory, out):
    import rstr
    chance = random.Random(1)
    generator = rstr.Rstr(chance)

    def make(pattern, least):
        # Open-ended repetitions as short as upstream's own generator makes them.
        pattern = re.sub(r'\{(\d+),\}', lambda m: '{%s}' % m[1], pattern)
        made = ''
        for _ in range(30):
            try:
                made = generator.xeger(pattern)
            except ValueError as error:
                raise Unknown(str(error))
            if entropy(made or ' ') >= least:
                break
        return made

    positives = negatives = lost = 0
    for name in sorted(os.listdir(directory)):
        if not name.endswith('.go'):
            continue
        source = open(os.path.join(directory, name)).read()
        for function in re.split(r'^func ', source, flags=re.M)[1:]:
            rule = re.search(r'RuleID:\s*"([^"]+)"', function)
            if not rule:
                continue
            rule = re.sub(r'\.(\d)$', r'-\1', rule[1])
            for kind, variable in (('positive', 'tps'), ('negative', 'fps')):
                number = 0
                starts = re.finditer(variable + r'\s*:?=\s*(\[\]string\{|append\(' + variable + r',|(?=utils\.))', function)
                for start in starts:
                    reader = Reader(function[start.end():], make)
                    if start[1] == '':
                        try:
                            value = reader.sum()
                            values, missed = (value if isinstance(value, list) else [value]), 0
                        except (Unknown, TypeError):
                            values, missed = [], 1
                    else:
                        values, missed = reader.list('}' if '{' in start[1] else ')')
                    lost += missed
                    for text in values:
                        if not isinstance(text, str) or not text:
                            continue
                        folder = os.path.join(out, kind, rule)
                        os.makedirs(folder, exist_ok=True)
                        open(os.path.join(folder, f'{number}.txt'), 'w').write(text)
                        number += 1
                        positives, negatives = positives + (kind == 'positive'), negatives + (kind == 'negative')
    print(f'{positives} positives, {negatives} negatives written; {lost} expressions could not be read')


def score(out, found):
    hits = {}
    for line in open(found):
        hit = json.loads(line)
        hits.setdefault(hit['path'], set()).add(hit['rule'])
    rules = os.path.join(os.path.dirname(__file__), '../../../server/krins-core/src/secrets/rules.json')
    # A part of a composite rule is no finding by itself.
    carried = {rule['id'] for rule in json.load(open(rules))['rules'] if not rule.get('part')}
    total, missed, wrong, clean = 0, {}, {}, 0
    for folder, _, files in os.walk(out):
        kind, _, rule = os.path.relpath(folder, out).partition('/')
        for name in files:
            rules = hits.get(f'{kind}/{rule}/{name}', set())
            if rule not in carried:
                continue
            if kind == 'positive':
                total += 1
                if not rules:
                    missed[rule] = missed.get(rule, 0) + 1
            elif kind == 'negative':
                clean += 1
                if rule in rules:
                    wrong[rule] = wrong.get(rule, 0) + 1
    lost = sum(missed.values())
    print(f'{total - lost} of {total} positives found ({100 * (total - lost) / max(total, 1):.2f} %)')
    print(f'{sum(wrong.values())} of {clean} negatives found by their own rule')
    print('missed:', dict(sorted(missed.items(), key=lambda kv: -kv[1])))
    print('wrong:', dict(sorted(wrong.items(), key=lambda kv: -kv[1])))


if __name__ == '__main__':
    (score if sys.argv[2].endswith('.jsonl') else collect)(*sys.argv[1:3])
