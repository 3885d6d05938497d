"""Keep what a finished run measured, without a photograph, in results/.

    plantnb_run --train ../shared/leaves/plantvillage --test ../shared/leaves/field --out runs/real
    python experiments/keep.py runs/real rehearsal       writes results/rehearsal/ and adds to results/field_log.csv
    python experiments/keep.py RUN box                   writes results/box/, and adds to it too; RUN is that of tools/build_box.py
    python experiments/keep.py RUN NAME MINUTES [HOW]    also how long the run took, by the clock, and what it was told by its surroundings

The log has a line for every time the species kept for testing were scored, so that nobody, we least of all, can choose by them unseen.
"""
import datetime, json, os, platform, shutil, subprocess, sys
import pandas as pd
from pathlib import Path

ROOT = Path(__file__).parents[1]


def commit():
    "The commit of the working tree, and whether it had changes on top; unknown in a copy without its history."
    if not (ROOT/'.git').exists(): return 'unknown'
    git = lambda *args: subprocess.run(['git', '-C', ROOT, *args], capture_output=True, text=True, check=True).stdout.strip()
    return git('rev-parse', '--short', 'HEAD') + (' and uncommitted changes' if git('status', '--porcelain', '--', 'plantnb') else '')


TOLD = dict(box=dict(command='python tools/build_box.py RUN --leaves ../shared/leaves', train='plantvillage, plantvillage_more, open', test='field')) # by folder

def command(config):
    "The command line that the settings of a run come from."
    sources = '' if config['leaves'] == 'Toy leaves' else f" --train {config['train']} --test {config['test']} --out runs/real"
    asked = ''.join(f' --{k} {config[k]}' for k in ('seeds', 'recipe', 'tune') if config.get(k) is not None)
    return f"plantnb_run{sources} --backbone {config['backbone']} --seed {config['seed']}{asked} --protocols {' '.join(config['protocols'])}"


def keep(run, out, **more):
    "Keeps metrics.json, the histories, and how they came about, with what `more` there is to say; returns the metrics and the command."
    config = json.loads((run/'config.json').read_text())
    how = dict(command=command(config), commit=commit(), machine=f'{platform.machine()}, {os.cpu_count()} cores', **config)
    if how['leaves'] == 'Toy leaves': how.update(train='toy leaves', test='toy leaves')
    how |= TOLD.get(out.name, {}) | more
    out.mkdir(parents=True, exist_ok=True)
    (out/'run.json').write_text(json.dumps(how, indent=1) + '\n')
    shutil.copy(run/'metrics.json', out)
    for history in sorted(run.glob('models/*/history.csv')): shutil.copy(history, out/f'{history.parent.name}.csv')
    if curves := [*coverage(run)]: pd.concat(curves).round(4).to_csv(out/'coverage.csv', index=False)
    return json.loads((run/'metrics.json').read_text()), how['command']


def coverage(run, model='best'):
    "What giving no verdict buys: a row a protocol and promise, see `coverage_curve`, over the leaves of unseen species."
    from plantnb.verdict import coverage_curve
    scores = pd.read_csv(run/'scores.csv', dtype={'filename': str}).query('model == @model and seed == 0 and not seen')
    for protocol in ('zero-shot', 'loso'):
        d = scores[scores.protocol == protocol]
        if len(d): yield coverage_curve(d.score.to_numpy(), (d.label == 'diseased').to_numpy(), d.species.to_numpy(), .5).assign(protocol=protocol)


def log(metrics, asked, path=ROOT/'results/field_log.csv'):
    "Adds the figures of every model and protocol on the unseen species to the log, once, with the command that asked."
    old = pd.read_csv(path) if path.exists() else pd.DataFrame()
    rows = []
    for model,protocols in metrics.items():
        for protocol,groups in protocols.items():
            if protocol in ('pairs', 'loso') or 'unseen' not in groups or 'queries' in protocol: continue
            for species,found in groups['unseen']['per_species'].items():
                rows.append(dict(date=datetime.date.today().isoformat(), commit=commit(), command=asked, model=model, protocol=protocol, species=species,
                                 **{name: round(found[name]['value'], 4) for name in ('auroc', 'balanced_accuracy', 'ece')}))
    pd.concat([old, pd.DataFrame(rows)]).drop_duplicates(ignore_index=True).to_csv(path, index=False)


if __name__ == '__main__':
    took = {name: as_(said) for name,as_,said in zip(('minutes', 'surroundings'), (float, str), sys.argv[3:])}
    metrics, asked = keep(Path(sys.argv[1]), ROOT/'results'/sys.argv[2], **took)
    if sys.argv[2].startswith(('rehearsal', 'box')): log(metrics, asked)
