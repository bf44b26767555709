"""Precision and recall over a part of CredData (https://github.com/Samsung/CredData, Apache-2.0): files and labels.

    python3 creddata.py CREDDATA MIRRORS OUT                lays the labelled files of the repositories below out
    cargo run --release -p krins-core --example secrets_speed -- OUT --json > found.jsonl
    python3 creddata.py CREDDATA MIRRORS OUT found.jsonl [held-out|dev] [--show]

CREDDATA is a checkout, MIRRORS a directory of git repositories, `OWNER+NAME/repo`. A finding is right when one of its lines
has a label that is true, wrong when it has none that is; labels are found when one of their lines is. Labels of a kind that
is no secret (`NOT_SECRET`) and those that nobody decided (X) count for nothing, neither way. What the rules were
tuned on is `DEV`; everything else is held out.
"""
import csv, hashlib, json, os, subprocess, sys, zlib

DEV = [
    'request/request', 'postmanlabs/postman-collection-transformer', 'aio-libs/aiomysql', 'typeorm/typeorm', 'timdorr/tesla-api',
    'brianc/node-postgres', 'docker/docker-py', 'feathersjs/feathers', 'requests/requests-oauthlib', 'sahat/hackathon-starter',
]
NOT_SECRET = {'UUID', 'Nonce', 'Salt', 'AWS S3 Bucket', 'Firebase Domain'}


def repositories(creddata, mirrors):
    for key, url in json.load(open(os.path.join(creddata, 'snapshot.json'))).items():
        name = url.removeprefix('https://github.com/')
        git = os.path.join(mirrors, name.replace('/', '+'), 'repo')
        if os.path.isdir(git):
            meta = os.path.join(creddata, 'meta', f'{zlib.crc32(bytes.fromhex(key)):08x}.csv')
            yield name, git, key[:40], list(csv.DictReader(open(meta)))


def lay_out(creddata, mirrors, out):
    for name, git, commit, rows in repositories(creddata, mirrors):
        wanted = {row['FileID'] for row in rows}
        listed = subprocess.run(['git', '-C', git, 'ls-tree', '-r', '-z', commit], capture_output=True)
        files = 0
        for line in filter(None, listed.stdout.split(b'\0')):
            meta, path = line.split(b'\t', 1)
            if hashlib.sha256(path).hexdigest()[:8] not in wanted:
                continue
            content = subprocess.run(['git', '-C', git, 'cat-file', 'blob', meta.split()[2]], capture_output=True).stdout
            place = os.path.join(out, name.replace('/', '+'), os.fsdecode(path))
            os.makedirs(os.path.dirname(place), exist_ok=True)
            # What is no UTF-8 counts byte for byte: lines stay lines.
            open(place, 'w', newline='').write(content.decode('utf-8', 'replace'))
            files += 1
        print(f'{name}: {files} of {len(wanted)} files')


def score(creddata, mirrors, out, found, part, show):
    hits = {}
    for line in open(found):
        hit = json.loads(line)
        hits.setdefault(hit['path'], []).append((hit['lines'], hit['rule']))
    table, total = [], [0, 0, 0, 0]
    for name, _, _, rows in repositories(creddata, mirrors):
        if (name in DEV) != (part == 'dev'):
            continue
        paths = {}
        base = os.path.join(out, name.replace('/', '+'))
        for folder, _, names in os.walk(base):
            for file in names:
                path = os.path.relpath(os.path.join(folder, file), base)
                paths[hashlib.sha256(path.encode()).hexdigest()[:8]] = path
        labels = {}
        for row in rows:
            if row['FileID'] in paths:
                kinds = set(row['Category'].split(':'))
                truth = 'X' if row['GroundTruth'] == 'X' or kinds & NOT_SECRET else row['GroundTruth']
                span = (int(row['LineStart']), int(row['LineEnd']))
                labels.setdefault(paths[row['FileID']], []).append((span, truth, row['Category']))
        right = wrong = caught = true = 0
        for path, marks in labels.items():
            own = hits.get(os.path.join(name.replace('/', '+'), path), [])
            meet = lambda a, b: a[0] <= b[1] and b[0] <= a[1]
            for span, rule in own:
                truths = {truth for mark, truth, _ in marks if meet(span, mark)}
                if 'T' in truths:
                    right += 1
                elif 'X' not in truths:
                    wrong += 1
                    if show:
                        print(f'  wrong {rule} {name} {path}:{span[0]}')
            for mark, truth, kind in marks:
                if truth == 'T':
                    true += 1
                    hit = any(meet(span, mark) for span, _ in own)
                    caught += hit
                    if show and not hit:
                        print(f'  missed {kind} {name} {path}:{mark[0]}')
        table.append((name, right, wrong, caught, true))
        total = [a + b for a, b in zip(total, (right, wrong, caught, true))]
    for name, right, wrong, caught, true in table:
        print(f'{name:48} right {right:4} wrong {wrong:4}  found {caught:4} of {true}')
    right, wrong, caught, true = total
    precision, recall = right / max(right + wrong, 1), caught / max(true, 1)
    f1 = 2 * precision * recall / max(precision + recall, 1e-9)
    print(f'{part}: {len(table)} repositories, P {precision:.3f}  R {recall:.3f}  F1 {f1:.3f}  ({true} true labels)')


if __name__ == '__main__':
    arguments = [argument for argument in sys.argv[1:] if argument != '--show']
    if len(arguments) == 3:
        lay_out(*arguments)
    else:
        score(*arguments[:4], arguments[4] if len(arguments) > 4 else 'held-out', '--show' in sys.argv)
