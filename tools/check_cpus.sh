#!/usr/bin/env bash
# README's tests, the slow ones too, under every arithmetic that this machine can play (tools/cpus.py says how), and what the model in the box
# then says of the toy leaves beside what it says in the machine's own float32. Writes a row each to results/cpus.csv and results/cpus_box.csv.
# On two quiet cores a row takes ten minutes to half an hour; not part of .ci/run, which runs a part of the book under one of them.
#   tools/check_cpus.sh                             all of them, in an environment of its own, removed afterwards (6 GB under $TMPDIR)
#   BIN=.venv/bin tools/check_cpus.sh avx2 sse41    these two, with an environment that is there
#   WORKERS=1 ONLY=answers tools/check_cpus.sh      one process; only what the box says, no tests
set -euo pipefail
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 MPLBACKEND=agg
unset PYTHONDONTWRITEBYTECODE
root=$(cd "$(dirname "$0")/.." && pwd)
scratch=$(mktemp -d "${TMPDIR:-/tmp}/plantnb-cpus.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
leaves=$(cd "${PLANTNB_LEAVES:-$root/../shared/leaves}" 2>/dev/null && pwd || true)
[ -z "$leaves" ] || export PLANTNB_LEAVES=$leaves
workers=${WORKERS:-2} failed=''

mkdir "$scratch/plantnb"
(cd "$root" && git ls-files -z -co --exclude-standard | xargs -0 sh -c 'for f; do [ -e "$f" ] && printf "%s\0" "$f"; done' sh | tar -cf - --null -T -) | tar -xf - -C "$scratch/plantnb"
if [ -n "${BIN:-}" ]; then bin=$(cd "$BIN" && pwd); else
  "${PYTHON:-python3}" -m venv "$scratch/.venv" && bin=$scratch/.venv/bin
  (cd "$scratch/plantnb" && "$bin/pip" install -q -e '.[dev]')
fi
export PYTHONPATH=$scratch/plantnb PATH=$bin:$PATH # the copy, whatever the environment was made for
cd "$scratch/plantnb"
rm -f results/cpus.csv # what other rows found is not what is tested: appendix A4 wants no red one
git init -q && git add -A # tests ask git which files there are
under() { env $(python tools/cpus.py settings "$name") PLANTNB_CACHE="$scratch/cache-$name" "$@"; }

for name in ${@:-$(python tools/cpus.py names)}; do
  printf '\n=== %s: %s\n' "$name" "$(python tools/cpus.py settings "$name")"
  here=$scratch/$name began=$SECONDS
  mkdir "$here"
  changed=$(git -C "$root" status --porcelain -uno -- ':!results') # rows before this one write there
  echo "$(git -C "$root" rev-parse --short HEAD)${changed:+-dirty}" >"$here/commit"
  [ -e "$scratch/reference.json" ] || env PLANTNB_BF16=0 OMP_NUM_THREADS=1 PLANTNB_CACHE="$scratch/leaves" python tools/cpus.py answers "$scratch/reference.json"
  cp "$scratch/reference.json" "$here"
  under env PLANTNB_CACHE="$scratch/leaves" python tools/cpus.py answers "$here/answers.json" # the same leaves: other arithmetic draws others
  if [ "${ONLY:-}" != answers ]; then
    at_once=$([ "$name" = threads ] && echo 1 || echo "$workers") # two threads each: two processes would wait for one another
    under nbdev_test --n_workers "$at_once" 2>&1 | tee "$here/book.log" || true
    under pytest -q -n "$at_once" --dist loadgroup --junitxml="$here/tests.xml" || true
    under pytest -q -n "$at_once" --dist loadgroup -m slow --junitxml="$here/slow.xml" || true
    echo $((SECONDS - began)) >"$here/seconds"
  fi
  python "$root/tools/cpus.py" record "$name" "$here" || failed="$failed $name"
done
[ -z "$failed" ] || { printf 'failed:%s\n' "$failed" >&2; exit 1; }
