"""Mines tasks from a repository's history, for the training of the ranking (see README.md).

usage: mine.py GIT_DIR NAME OUT.jsonl [--count 90] [--months 30]

A task is a commit: its message in words (without paths, file names, URLs, issue numbers, trailers), the tree of its parent, and the existing source
files that it changed with their old-side lines. Merges, releases, dependency bumps, formatting and documentation are left out. Deterministic.
"""
import argparse, json, os, re, subprocess, sys

SOURCE = re.compile(r'\.(ts|tsx|js|jsx|mts|cts|mjs|cjs)$')
EXCLUDED = re.compile(r'(^|/)(dist|build|generated|__generated__|fixtures?|__fixtures__|__snapshots__|vendor|node_modules|\.yarn|locales?|translations?)/|\.min\.js$|\.snap$|[.-]generated\.|generated-[^/]*$|jsfmt\.spec', re.I)
TEST = re.compile(r'(^|/)(__tests__|tests?|integration-tests|e2e|cypress|spec|specs|__mocks__)/|\.(test|spec)\.[a-z]+$|-spec\.[a-z]+$|\.test-d\.[a-z]+$|(^|/)dts-(built-)?test/|\.config\.[mc]?[jt]s$|(^|/)setupTests?\.', re.I)
SKIPPED = re.compile(r'^(chore|docs?|style|ci|build|release|tests?|deps|merge|version|bump|i18n|lint|wip|example|blog|website|security)\b|^v?\d+\.\d+|\b(typos?|prettier|eslint|biome|oxlint|lint|formatting|reformat|bump|upgrade|dependabot|renovate|changelog|changeset|version packages|dependenc(y|ies)|lockfile|pnpm|yarn|translations?|crowdin|readme|license|copyright)\b', re.I)
TRAILER = re.compile(r'^\s*(co-authored-by|signed-off-by|reviewed-by|reported-by|fixes|closes?|closed|fix|resolves?|refs?|see|related|ref|x-[\w-]+|change-id|references)\s*:?\s*(#\d+|https?://\S+|[\w./-]+#\d+)?[\s,.]*$|^\s*(co-authored-by|signed-off-by|reviewed-by|change-id|generated-by|claude-session)\s*:', re.I)
RULE = re.compile(r'^[-=_*#\s]*$')
FILE_NAME = re.compile(r'[`\'"(]?(?:[\w@.-]*/)*[\w@.-]+\.(?:ts|tsx|js|jsx|mts|cts|mjs|cjs|json|md|mdx|css|scss|vue|svelte|astro|html|ya?ml|snap|sh|toml)\b[`\'")]?')
PATH = re.compile(r'(?<![\w@])(?:\.{0,2}/)?(?:[\w.-]+/){2,}[\w.-]*')
URL = re.compile(r'https?://\S+')
ISSUE = re.compile(r'\(?\b[\w.-]*/?[\w.-]*#\d+\)?|\(#\d+\)|#\d+|\b[A-Z]{2,6}-\d+\b')


def git(directory, *arguments):
    run = subprocess.run(['git', '--git-dir=' + directory, '-c', 'core.quotepath=off', *arguments], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return run.stdout.decode('utf8', 'replace')


def clean(message):
    seen, lines = set(), []
    for line in message.split('\n'):
        if TRAILER.match(line) or RULE.match(line):
            continue
        line = FILE_NAME.sub('', ISSUE.sub('', PATH.sub('', URL.sub('', line))))
        line = re.sub(r'\(\s*\)|``', '', line)
        line = re.sub(r'[ \t]+', ' ', line).strip()
        if line and line not in seen:
            seen.add(line)
            lines.append(line)
    return '\n'.join(lines)[:2000].strip()


def gold(directory, sha):
    """{path: [hunks, changed]} of the files that exist on both sides."""
    files, path, is_old = {}, None, False
    for line in git(directory, 'diff', '-U0', '--no-color', '--no-ext-diff', '-M', '--diff-filter=M', sha + '^', sha).split('\n'):
        if line.startswith('diff --git '):
            path = None
        elif line.startswith('+++ b/'):
            path = line[6:].rstrip('\t')
        elif line.startswith('@@') and path and SOURCE.search(path) and not EXCLUDED.search(path):
            old, count = re.match(r'@@ -(\d+)(?:,(\d+))?', line).groups()
            new = re.search(r'\+\d+(?:,(\d+))?', line).group(1)
            first, count = int(old), int(count if count is not None else 1)
            added = int(new if new is not None else 1)
            hunk = {'start': first, 'end': first + count - 1, 'kind': 'mod'} if count else {'start': max(first, 1), 'end': first + 1, 'kind': 'ins'}
            entry = files.setdefault(path, [[], 0])
            entry[0].append(hunk)
            entry[1] += count + added
    return files


def task(directory, name, sha, date, message):
    words = clean(message)
    if len(re.findall(r'[A-Za-z]{3,}', words)) < 3:
        return None
    files = gold(directory, sha)
    sources = [path for path in files if not TEST.search(path)]
    if not 1 <= len(sources) <= 8 or len(files) > 16 or sum(files[p][1] for p in files) > 1200:
        return None
    listed = sorted(files, key=lambda path: (-files[path][1], path))
    active = next(path for path in listed if not TEST.search(path))
    return {'id': f'{name}-{sha[:10]}', 'repo': name, 'sha': sha, 'parent': git(directory, 'rev-parse', sha + '^').strip(), 'date': date,
            'task': words, 'active': active,
            'gold': [{'path': p, 'is_test': bool(TEST.search(p)), 'changed': files[p][1], 'hunks': files[p][0]} for p in listed]}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('git_dir'); parser.add_argument('name'); parser.add_argument('out')
    parser.add_argument('--count', type=int, default=90)
    parser.add_argument('--months', type=int, default=30)
    a = parser.parse_args()
    tip = git(a.git_dir, 'log', '-1', '--format=%cI', 'HEAD').strip()
    year, month = int(tip[:4]), int(tip[5:7])
    back = year * 12 + month - 1 - a.months
    since = f'{back // 12:04}-{back % 12 + 1:02}-01'
    log = git(a.git_dir, 'log', '--no-merges', '--since=' + since, '--format=%H%x01%cI%x01%B%x02', 'HEAD')
    commits = []
    for entry in log.split('\x02'):
        parts = entry.strip('\n').split('\x01')
        if len(parts) == 3 and not SKIPPED.search(parts[2].split('\n')[0]):
            commits.append(parts)
    # Spread over the time: every n-th candidate first, then those between.
    order = sorted(range(len(commits)), key=lambda at: (int(f'{at:020b}'[::-1], 2), at))
    tasks = []
    for at in order:
        if len(tasks) >= a.count:
            break
        sha, date, message = commits[at]
        found = task(a.git_dir, a.name, sha, date, message)
        # Three of four tasks touch several files, as the benchmark's do.
        if found and (sum(not g['is_test'] for g in found['gold']) > 1 or len(tasks) % 4 == 3):
            tasks.append(found)
    tasks.sort(key=lambda t: t['date'])
    with open(a.out, 'w') as out:
        for found in tasks:
            out.write(json.dumps(found) + '\n')
    print(a.name, len(commits), 'commits', len(tasks), 'tasks', file=sys.stderr)


main()
