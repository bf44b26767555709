"""Makes the rule data of the secret scan from Betterleaks' own configuration (MIT).

    python3 rules.py betterleaks.toml words.txt.gz COMMIT > server/krins-core/src/secrets/rules.json

Only what a regular expression and a small filter can say is taken: patterns, keywords, entropy, allow-lists, the
composite rules' parts. What asks a provider whether a key is valid is left out: nothing here opens a connection. A
filter that this script does not understand stops it, so that no rule loses its filter unseen.
"""
import gzip, json, re, sys, tomllib

ENTROPY = re.compile(r'^(?:filter\.)?entropy\(finding\["secret"\]\) (<=|<) (\d+(?:\.\d+)?)$')
LIST = r'\[(?P<items>(?:`[^`]*`|"(?:[^"\\]|\\.)*"|[\s,])*)\]'
MATCH = re.compile(r'^(?P<not>!)?(?:filter\.)?(?P<what>matchesAny|containsAny)\((?P<subject>get\([^)]*\)|[^,]+), ' + LIST + r'\)$', re.S)
NEAR = re.compile(
    r'^\((?P<guard>.*?)(?:filter\.)?matchesAny\(finding\["secret"\], ' + LIST
    + r'\) && filter\.containsAny\(providerMatchContext, (?P<words>\[[^\]]*\])\)\)$', re.S)


def literals(items):
    found = re.findall(r'`([^`]*)`|"((?:[^"\\]|\\.)*)"', items)
    return [raw if raw else json.loads('"' + quoted + '"') for raw, quoted in found]


def rust(pattern):
    """Go's regular expressions take a lone brace for itself; Rust's want it escaped."""
    out, at, in_class = [], 0, False
    while at < len(pattern):
        c = pattern[at]
        if c == '\\':
            out.append(pattern[at:at + 2])
            at += 2
            continue
        if in_class:
            if c == '[' and pattern.startswith('[:', at):
                end = pattern.index(':]', at) + 2
                out.append(pattern[at:end])
                at = end
                continue
            if c == ']':
                in_class = False
            elif c in '[&~':
                out.append('\\' + c)
                at += 1
                continue
        elif c == '[':
            in_class = True
            out.append(c)
            at += 1
            if pattern.startswith('^', at):
                out.append('^')
                at += 1
            if pattern.startswith(']', at):
                out.append('\\]')
                at += 1
            continue
        elif c in '{}':
            quantifier = re.match(r'\{\d+(?:,\d*)?\}', pattern[at:])
            if quantifier:
                out.append(quantifier.group())
                at += quantifier.end()
                continue
            out.append('\\' + c)
            at += 1
            continue
        out.append(c)
        at += 1
    return ''.join(out)


def parts(expression):
    """The operands of the outermost `||`."""
    text = re.sub(r'^\s*//.*$', '', expression, flags=re.M)
    text = re.sub(r'\blet \w+ =.*?;\s*', '', text, flags=re.S).strip()
    depth, start, quote, found, at = 0, 0, None, [], 0
    while at < len(text):
        c = text[at]
        if quote:
            if c == '\\' and quote == '"':
                at += 1
            elif c == quote:
                quote = None
        elif c in '`"':
            quote = c
        elif c in '([{':
            depth += 1
        elif c in ')]}':
            depth -= 1
        elif depth == 0 and text.startswith('||', at):
            found.append(text[start:at].strip())
            start = at + 2
            at += 1
        at += 1
    found.append(text[start:].strip())
    return [part for part in found if part]


def unwrapped(part):
    """`(a || b)` as its operands, where the brackets hold the whole."""
    if not (part.startswith('(') and part.endswith(')')):
        return [part]
    depth = 0
    for at, c in enumerate(re.sub(r'`[^`]*`', lambda m: '_' * len(m.group()), part)):
        depth += (c == '(') - (c == ')')
        if depth == 0:
            return parts(part[1:-1]) if at == len(part) - 1 and '&&' not in re.sub(r'`[^`]*`', '', part) else [part]
    return [part]


def filter_of(rule, expression, extra):
    """The filter as data; `extra` takes what only the generic rule has."""
    for whole in parts(expression):
        for part in unwrapped(whole):
            entropy, match, near = ENTROPY.match(part), MATCH.match(part), NEAR.match(part)
            if entropy:
                # A secret must have more than this, or at least this.
                rule['entropy'] = float(entropy[2])
                if entropy[1] == '<=':
                    rule['above'] = True
            elif part == 'failsTokenEfficiency(finding["secret"])':
                rule['words'] = True
            elif near:
                extra.setdefault('public', []).append(
                    {'secret': [rust(p) for p in literals(near['items'])], 'near': json.loads(near['words'])})
            elif match:
                subject, items = match['subject'].strip(), literals(match['items'])
                if match['what'] == 'containsAny' and subject == 'finding["secret"]':
                    if len(items) > 100:
                        extra['stop_words'] = items
                        rule['stop_words'] = True
                    else:
                        rule.setdefault('without', []).extend(items)
                elif match['not'] and subject == 'finding["secret"]':
                    # One of them has to match; two such operands are two demands.
                    rule.setdefault('needs', []).extend(rust(p) for p in items)
                elif subject == 'finding["secret"]':
                    rule.setdefault('unless', []).extend(rust(p) for p in items)
                elif subject == 'finding["match"]':
                    rule.setdefault('unless_match', []).extend(rust(p) for p in items)
                elif subject == 'finding["line"]':
                    rule.setdefault('unless_line', []).extend(rust(p) for p in items)
                elif subject == 'genericMatchContext':
                    rule.setdefault('unless_context', []).extend(rust(p) for p in items)
                elif subject.startswith('(attributes["path"]') or subject.startswith('get(attributes'):
                    rule.setdefault('unless_path', []).extend(rust(p) for p in items)
                else:
                    sys.exit(f'{rule["id"]}: {part[:200]}')
            elif part.startswith('(matchesAny(get(attributes, "path"'):
                both = re.findall(r'matchesAny\((?:get\(attributes, "path", ""\)|finding\["line"\]), ' + LIST.replace('?P<items>', ''), part, re.S)
                paths, lines = (literals(items) for items in both)
                extra['unless_line_of'] = {'path': [rust(p) for p in paths], 'line': [rust(p) for p in lines]}
            else:
                sys.exit(f'{rule["id"]}: {part[:200]}')


def main():
    config = tomllib.load(open(sys.argv[1], 'rb'))
    words = gzip.open(sys.argv[2], 'rt').read().lower().split()
    short = {w for w in words if len(w) == 4}
    shortest = set()
    for word in sorted({w for w in words if len(w) >= 5}, key=lambda w: (len(w), w)):
        # A word that holds another says nothing more.
        if not any(word[i:j] in shortest for i in range(len(word)) for j in range(i + 5, len(word) + 1)):
            shortest.add(word)
    rules, extra = [], {}
    for source in config['rules']:
        if 'regex' not in source:
            continue
        rule = {'id': re.sub(r'\.(\d)$', r'-\1', source['id']), 'pattern': rust(source['regex']), 'keywords': source['keywords']}
        if source.get('secretGroup'):
            rule['group'] = source['secretGroup']
        if 'path' in source:
            rule['path'] = rust(source['path'])
        if source.get('skipReport'):
            rule['part'] = True
        for needed in source.get('required', []):
            part = {'id': re.sub(r'\.(\d)$', r'-\1', needed['id'])}
            if needed.get('withinLines'):
                part['lines'] = needed['withinLines']
            rule.setdefault('with', []).append(part)
        filter_of(rule, source.get('filter', ''), extra)
        rules.append(rule)
    general = {'id': 'all'}
    filter_of(general, config['filter'], {})
    paths = {'id': 'paths'}
    filter_of(paths, config['prefilter'], {})
    dump = lambda value: json.dumps(value, ensure_ascii=False, separators=(', ', ': '))
    print('{')
    print(f'"source": {dump("https://github.com/betterleaks/betterleaks/tree/" + sys.argv[3])},')
    print(f'"licence": "MIT, see rules.LICENSE",')
    print(f'"unless": {dump(general["unless"])},')
    print(f'"without": {dump(general["without"])},')
    print(f'"paths": {dump(paths["unless_path"])},')
    print(f'"public": {dump(extra["public"])},')
    print(f'"unless_line_of": {dump(extra["unless_line_of"])},')
    print(f'"stop_words": {dump(" ".join(extra["stop_words"]))},')
    print(f'"words": {dump(" ".join(sorted(shortest)))},')
    print(f'"short_words": {dump(" ".join(sorted(short)))},')
    print('"rules": [')
    print(',\n'.join(dump(rule) for rule in rules))
    print(']}')


main()
