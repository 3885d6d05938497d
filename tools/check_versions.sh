#!/usr/bin/env bash
# The lowest and the newest versions that settings.ini admits, each in an environment of its own outside the project, removed afterwards:
# pytest, the smoke run, the book where nbdev installs (the newest fastcore and nbdev 2 do not go together), and what is known to be unsafe
# in these versions. Writes results/versions.csv. Needs 6 GB under $TMPDIR and half an hour on two cores; not part of .ci/run.
#   tools/check_versions.sh [lowest|newest ...]
#   TESTS="tests/test_data.py tests/test_predict.py" BOOK=no tools/check_versions.sh      only these tests; the table says so
set -euo pipefail
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 MPLBACKEND=agg
unset PYTHONPATH
root=$(cd "$(dirname "$0")/.." && pwd)
scratch=$(mktemp -d "${TMPDIR:-/tmp}/plantnb-versions.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
python=${PYTHON:-python3}
bin=$scratch/.venv/bin
failed=0
leaves=$(cd "${PLANTNB_LEAVES:-$root/../shared/leaves}" 2>/dev/null && pwd || true)
[ -z "$leaves" ] || export PLANTNB_LEAVES=$leaves

needs() { # `fastai>=2.8.7,<2.9` -> `fastai==2.8.7`; with `names`, `fastai`. What has no lower bound is as new as pip finds it.
  "$python" - "$root/settings.ini" "$1" <<'P'
import re, sys
from configparser import ConfigParser
config = ConfigParser(delimiters=['='])
config.read(sys.argv[1], encoding='utf-8')
for need in config['DEFAULT']['requirements'].split():
    low = re.match(r'([\w.-]+)(?:[>=]=([\d.]+))?', need)
    if sys.argv[2] == 'names': print(low[1])
    elif low[2]: print(f'{low[1]}=={low[2]}')
P
}

advisories() { # what is known against the installed versions, in words; said, where nobody answers
  [ -x "$scratch/.audit/bin/pip-audit" ] || { "$python" -m venv "$scratch/.audit" && "$scratch/.audit/bin/pip" install -q pip-audit; } >&2 || { echo 'not looked up: pip-audit could not be installed'; return; }
  "$bin/pip" list --format=freeze 2>/dev/null | grep -iE "^($(needs names | paste -sd'|'))==" >"$scratch/audited.txt"
  "$scratch/.audit/bin/pip-audit" -r "$scratch/audited.txt" --no-deps --disable-pip -f json >"$scratch/audit.json" 2>"$scratch/audit.log" || true
  "$python" - "$scratch/audit.json" <<'P'
import json, sys
try: found = json.load(open(sys.argv[1]))['dependencies']
except ValueError: found = []
known = [f'{d["name"]} {d["version"]}: {v["id"]}' for d in found for v in d.get('vulns', [])]
asked = sum('skip_reason' not in d for d in found)
if not asked: print('not looked up: no answer from the registry about any of them')
else: print(f'{len(known)} known for {asked} of {len(found)} packages' + ''.join(f'; {k}' for k in known))
P
}

record() { # lowest|newest, tests that ran, advisories: a row a package in results/versions.csv, instead of those of an earlier time
  "$bin/pip" list --format=freeze 2>/dev/null | grep -iE "^($(needs names | paste -sd'|')|fastcore|nbdev|pytest)==" >"$scratch/have.txt"
  "$bin/python" - "$root/results/versions.csv" "$scratch" "$@" <<'P'
import csv, datetime, platform, sys
from pathlib import Path
from xml.etree import ElementTree
table, scratch, which, tests, advisories = Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:]
suite = ElementTree.parse(scratch/'junit.xml').getroot().find('testsuite').attrib
total, skipped, failed = int(suite['tests']), int(suite['skipped']), int(suite['failures']) + int(suite['errors'])
fields = ['which', 'date', 'python', 'package', 'version', 'passed', 'failed', 'skipped', 'tests', 'advisories']
old = [r for r in csv.DictReader(table.open()) if r['which'] != which and set(r) == set(fields)] if table.exists() else []
new = [dict(zip(fields, (which, datetime.date.today(), platform.python_version(), *line.split('=='), total - skipped - failed, failed, skipped, tests, advisories)))
       for line in (scratch/'have.txt').read_text().split()]
with table.open('w', newline='') as f:
    rows = csv.DictWriter(f, fields, lineterminator='\n')
    rows.writeheader()
    rows.writerows(old + new)
print(f'{which}: {total - skipped - failed} passed, {failed} failed, {skipped} skipped; advisories: {advisories}')
P
}

for which in "${@:-lowest newest}"; do for which in $which; do
  printf '\n=== %s\n' "$which"
  rm -rf "$scratch/.venv" "$scratch/plantnb"
  mkdir "$scratch/plantnb"
  (cd "$root" && git ls-files -z -co --exclude-standard | xargs -0 sh -c 'for f; do [ -e "$f" ] && printf "%s\0" "$f"; done' sh | tar -cf - --null -T -) | tar -xf - -C "$scratch/plantnb"
  cd "$scratch/plantnb"
  git init -q && git add -A # tests ask git which files there are
  "$python" -m venv "$scratch/.venv"
  case $which in
    lowest) needs lowest >"$scratch/lowest.txt"; "$bin/pip" install -q -e '.[dev]' -c "$scratch/lowest.txt" ;;
    newest) "$bin/pip" install -q -U -e . 'pytest<9.2' pytest-xdist hypothesis ruff ;;
    *) echo 'lowest or newest' >&2; exit 2 ;;
  esac
  "$bin/pip" check
  OMP_NUM_THREADS=1 "$bin/python" -m pytest -n 2 --dist loadgroup -m 'slow or not slow' ${TESTS:-} --junitxml="$scratch/junit.xml" || failed=1
  ran="pytest ${TESTS:-(all)}"
  bash tools/smoke.sh "$bin" "$scratch/$which" && ran="$ran, smoke run" || failed=1
  if [ -x "$bin/nbdev_test" ] && [ "${BOOK:-yes}" = yes ]; then OMP_NUM_THREADS=1 "$bin/nbdev_test" --n_workers 2 && ran="$ran, book" || failed=1; fi
  record "$which" "$ran" "$(advisories)"
done; done
exit $failed
