"""Trains the ranking of the context (see README.md).

usage: train.py DUMPS [--check NAME,NAME] files OUT.txt
       train.py DUMPS [--check NAME,NAME] chunks OUT.txt --files-trees N

DUMPS is a directory of what `context_lab dump` wrote, a repository each. Repositories named by --check are never trained on.
Prints what cross-validation over repositories says, then trains on all and writes the model in the form that `context/model.rs` reads.
"""
import argparse, glob, json, os
import lightgbm as lgb
import numpy as np

FOLDS = 3
FILES = dict(objective='binary', num_leaves=15, learning_rate=0.06, min_data_in_leaf=60, feature_fraction=0.5, bagging_fraction=0.8, bagging_freq=1, lambda_l2=20.0, max_bin=127)
CHUNKS = dict(objective='tweedie', tweedie_variance_power=1.4, num_leaves=15, learning_rate=0.06, min_data_in_leaf=100, feature_fraction=0.5, bagging_fraction=0.8, bagging_freq=1, lambda_l2=20.0, max_bin=127)
COMMON = dict(verbosity=-1, num_threads=1, seed=7, deterministic=True, force_row_wise=True, use_missing=False)


class Dump:
    """One repository's rows. Files: group, kind (1 source of the change, 2 test of it), lines, columns. Chunks: group, file, first, last, changed lines, tokens, columns."""
    def __init__(self, prefix, chunks=True):
        self.name = os.path.basename(prefix)
        head = json.load(open(prefix + '.json'))
        self.groups, (self.file_columns, self.chunk_columns) = head['groups'], (head['file_columns'], head['chunk_columns'])
        self.files = np.fromfile(prefix + '.files.bin', '<f4').reshape(-1, 3 + len(self.file_columns))
        self.file_starts = np.concatenate([[0], np.cumsum([g['files'] for g in self.groups])])
        self.chunk_starts = np.concatenate([[0], np.cumsum([g['chunks'] for g in self.groups])])
        if chunks:
            self.chunks = np.fromfile(prefix + '.chunks.bin', '<f4').reshape(-1, 6 + len(self.chunk_columns))


def load(directory, checked, chunks=True):
    names = sorted(os.path.basename(p)[:-5] for p in glob.glob(directory + '/*.json'))
    dumps = {n: Dump(os.path.join(directory, n), chunks) for n in names}
    return [dumps[n] for n in names if n not in checked], [dumps[n] for n in names if n in checked]


def folds(dumps):
    """Repositories of a fold are left out together."""
    order = sorted(range(len(dumps)), key=lambda at: (-len(dumps[at].files), dumps[at].name))
    return [[dumps[at] for at in order[fold::FOLDS]] for fold in range(FOLDS)]


def file_rows(dumps, keep=0.3):
    """Rows, whether the task changed the file, and weights: a part of the others stands for all of them."""
    random = np.random.default_rng(5)
    xs, ys, ws = [], [], []
    for d in dumps:
        kind = d.files[:, 1]
        kept = (kind == 1) | (kind == 0) & (random.random(len(kind)) < keep)
        weights = np.repeat([max(g['sources'], 1) ** -0.5 for g in d.groups], [g['files'] for g in d.groups])
        xs.append(d.files[kept, 3:]); ys.append(kind[kept]); ws.append(weights[kept] * np.where(kind[kept] == 1, 1.0, 1.0 / keep))
    return np.concatenate(xs), np.concatenate(ys), np.concatenate(ws)


def train_files(dumps, trees, parameters=FILES):
    x, y, w = file_rows(dumps)
    return lgb.train({**COMMON, **parameters}, lgb.Dataset(x, y, weight=w, free_raw_data=True), trees)


def file_order(dump, scores, group):
    """Places of a group's files, best first; the active file leads."""
    a, b = dump.file_starts[group], dump.file_starts[group + 1]
    focus = dump.files[a:b, 3 + dump.file_columns.index('is_focus')]
    return np.lexsort((np.arange(b - a), -scores[a:b], -focus)), a


def file_report(dump, scores, ks=(1, 5, 10, 20, 60, 100)):
    out = {}
    for at, g in enumerate(dump.groups):
        if g['sources'] < 2:
            continue
        order, a = file_order(dump, scores, at)
        hit = dump.files[a + order, 1] == 1
        out.setdefault(g['setting'], []).append([hit[:k].sum() / g['sources'] for k in ks])
    return {s: np.mean(v, axis=0) for s, v in out.items()}


def show(name, report):
    print(f'{name:16}', '  '.join(s + ' ' + ' '.join(f'{v:.3f}' for v in report[s]) for s in sorted(report)), flush=True)


def out_of_fold(dumps, train, score):
    """Scores of every repository by a model that never saw it."""
    scores = {}
    for fold in folds(dumps):
        model = train([d for d in dumps if d not in fold])
        for d in fold:
            scores[d.name] = score(model, d)
    return scores


def write_model(model, columns, path):
    lines = [' '.join(columns)]
    def node(n):
        if 'leaf_value' in n:
            return [f"={np.float32(n['leaf_value'])!s},"]
        assert n['decision_type'] == '<='
        threshold = np.float32(n['threshold'])
        # The largest f32 that is not above: the same decision for every f32.
        if float(threshold) > n['threshold']:
            threshold = np.nextafter(threshold, np.float32(-np.inf))
        return [f"{n['split_feature']} {threshold!s},"] + node(n['left_child']) + node(n['right_child'])
    for tree in model.dump_model()['tree_info']:
        lines.append(''.join(node(tree['tree_structure'])).rstrip(','))
    open(path, 'w').write('\n'.join(lines) + '\n')
    print(path, os.path.getsize(path), 'bytes')


def gains(model, columns):
    gain = model.feature_importance('gain')
    total = gain.sum()
    print('gain:', ' '.join(f'{columns[at]}={gain[at] / total:.3f}' for at in np.argsort(-gain)[:40]))


def files_command(a):
    dumps, checks = load(a.dumps, a.check, chunks=False)
    scores = out_of_fold(dumps, lambda ds: train_files(ds, a.trees), lambda m, d: m.predict(d.files[:, 3:], raw_score=True))
    reports = {d.name: file_report(d, scores[d.name]) for d in dumps}
    for d in dumps:
        show(d.name, reports[d.name])
    show('MEAN left out', {s: np.mean([r[s] for r in reports.values()], axis=0) for s in ('S1', 'S3')})
    model = train_files(dumps, a.trees)
    for d in checks:
        show('check ' + d.name, file_report(d, model.predict(d.files[:, 3:], raw_score=True)))
    gains(model, dumps[0].file_columns)
    write_model(model, dumps[0].file_columns, a.out)


# --- chunks ---

def with_file_scores(dump, scores):
    """Puts the file model's scores and ranks where the chunk rows expect them."""
    c = dump.chunk_columns
    group = dump.chunks[:, 0].astype(int)
    rows = dump.file_starts[group] + dump.chunks[:, 1].astype(int)
    ranks = np.empty(len(scores), '<f4')
    for at in range(len(dump.groups)):
        order, a = file_order(dump, scores, at)
        ranks[a + order] = np.log(np.arange(len(order)) + 1.0)
    dump.chunks[:, 6 + c.index('file_score')] = scores[rows]
    dump.chunks[:, 6 + c.index('file_rank')] = ranks[rows]


def chunk_rows(dumps, keep=0.15):
    xs, ys, ws = [], [], []
    random = np.random.default_rng(5)
    for d in dumps:
        group = d.chunks[:, 0].astype(int)
        total = np.array([g['lines'] for g in d.groups])[group]
        y = d.chunks[:, 4] / np.maximum(total, 1)
        kept = (y > 0) | (random.random(len(y)) < keep)
        xs.append(d.chunks[kept, 6:]); ys.append(y[kept]); ws.append(np.where(y[kept] > 0, 1.0, 1.0 / keep))
    return np.concatenate(xs), np.concatenate(ys), np.concatenate(ws)


def train_chunks(dumps, trees, parameters=CHUNKS):
    x, y, w = chunk_rows(dumps)
    return lgb.train({**COMMON, **parameters}, lgb.Dataset(x, y, weight=w, free_raw_data=True), trees)


HEADING, GAP = 24.0, 12.0

def pack(dump, values, group, budget, breadth, file_scores, stub=27.0, power=1.0):
    """A model of the packing: chunks by value over cost, then stubs for the likeliest other files. Gives (line, file, hits)."""
    a, b = dump.chunk_starts[group], dump.chunk_starts[group + 1]
    rows, value = dump.chunks[a:b], values[a:b]
    cost = rows[:, 5] + GAP
    order = np.argsort(-(value / cost ** power), kind='stable')
    limit = budget - breadth * stub
    spent, seen, held = 0.0, set(), 0.0
    for at in order:
        file = int(rows[at, 1])
        price = cost[at] + (0 if file in seen else HEADING - GAP)
        if spent + price <= limit:
            spent += price; seen.add(file); held += rows[at, 4]
    files, start = file_order(dump, file_scores, group)
    for file in files:
        if spent + stub > budget:
            break
        if int(file) not in seen:
            seen.add(int(file)); spent += stub
    sources = sum(dump.files[start + f, 1] == 1 for f in seen)
    g = dump.groups[group]
    return held / max(g['lines'], 1), sources / max(g['sources'], 1)


def chunk_report(dump, values, file_scores, budget=8192, breadth=30, power=1.0, half=None):
    out = {}
    for at, g in enumerate(dump.groups):
        if g['sources'] < 2 or half is not None and at // 2 % 2 != half:
            continue
        out.setdefault(g['setting'], []).append(pack(dump, values, at, budget, breadth, file_scores, power=power))
    return {s: np.mean(v, axis=0) for s, v in out.items()}


def chunks_command(a):
    dumps, checks = load(a.dumps, a.check)
    file_scores = out_of_fold(dumps, lambda ds: train_files(ds, a.files_trees), lambda m, d: m.predict(d.files[:, 3:], raw_score=True))
    model = train_files(dumps, a.files_trees)
    for d in checks:
        file_scores[d.name] = model.predict(d.files[:, 3:], raw_score=True)
    for d in dumps + checks:
        with_file_scores(d, file_scores[d.name])
    scores = out_of_fold(dumps, lambda ds: train_chunks(ds, a.trees), lambda m, d: m.predict(d.chunks[:, 6:]))
    reports = {d.name: chunk_report(d, scores[d.name], file_scores[d.name]) for d in dumps}
    for d in dumps:
        show(d.name, reports[d.name])
    show('MEAN left out', {s: np.mean([r[s] for r in reports.values()], axis=0) for s in ('S1', 'S3')})
    model = train_chunks(dumps, a.trees)
    for d in checks:
        values = model.predict(d.chunks[:, 6:])
        for breadth in (0, 20, 30, 40):
            show(f'check {d.name} {breadth}', chunk_report(d, values, file_scores[d.name], breadth=breadth))
    gains(model, dumps[0].chunk_columns)
    write_model(model, dumps[0].chunk_columns, a.out)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('dumps'); parser.add_argument('what', choices=['files', 'chunks']); parser.add_argument('out')
    parser.add_argument('--check', default='vue,excalidraw', type=lambda text: set(text.split(',')))
    parser.add_argument('--trees', type=int, default=160)
    parser.add_argument('--files-trees', type=int, default=160)
    a = parser.parse_args()
    files_command(a) if a.what == 'files' else chunks_command(a)


if __name__ == '__main__':
    main()
