#!/usr/bin/env bash
# The lowest and the newest versions that settings.ini admits, each in an environment of its own: pytest, the smoke run, and the book
# where nbdev installs (the newest fastai and nbdev 2 do not go together). Needs 6 GB of disk and about ten minutes; not part of .ci/run.
#   tools/check_versions.sh [lowest|newest ...]
set -euo pipefail
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 MPLBACKEND=agg
unset PYTHONPATH
root=$(cd "$(dirname "$0")/.." && pwd)
scratch=$(mktemp -d "${TMPDIR:-/tmp}/plantnb-versions.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
python=${PYTHON:-python3}
bin=$scratch/.venv/bin

bounds() { # `fastai>=2.8.7,<2.9` -> `fastai==2.8.7`
  "$python" - "$root/settings.ini" <<'P'
import re, sys
from configparser import ConfigParser
config = ConfigParser(delimiters=['='])
config.read(sys.argv[1], encoding='utf-8')
for need in config['DEFAULT']['requirements'].split():
    if low := re.match(r'([\w.-]+)>=([\d.]+)', need): print(f'{low[1]}=={low[2]}')
P
}

for which in "${@:-lowest newest}"; do for which in $which; do
  printf '\n=== %s\n' "$which"
  rm -rf "$scratch/.venv" "$scratch/plantnb"
  mkdir "$scratch/plantnb"
  (cd "$root" && git ls-files -z -co --exclude-standard | xargs -0 sh -c 'for f; do [ -e "$f" ] && printf "%s\0" "$f"; done' sh | tar -cf - --null -T -) | tar -xf - -C "$scratch/plantnb"
  cd "$scratch/plantnb"
  "$python" -m venv "$scratch/.venv"
  case $which in
    lowest) bounds >"$scratch/lowest.txt"; "$bin/pip" install -q -e '.[dev]' -c "$scratch/lowest.txt" ;;
    newest) "$bin/pip" install -q -U -e . pytest pytest-xdist hypothesis ruff ;;
    *) echo 'lowest or newest' >&2; exit 2 ;;
  esac
  "$bin/pip" check
  "$bin/pip" list 2>/dev/null | grep -iE '^(nbdev|fastcore|fastai|torch|timm|numpy|pandas|pillow|scikit-learn|safetensors|ImageHash|matplotlib) '
  if [ -x "$bin/nbdev_test" ]; then "$bin/nbdev_test" --n_workers 2; fi
  "$bin/pytest"
  bash tools/smoke.sh "$bin" "$scratch/$which"
  { [ -s "$root/results/versions.csv" ] || echo 'which,python,package,version,passed'   # what passed, kept
    grep -v "^$which," "$root/results/versions.csv" 2>/dev/null || true
    "$bin/pip" list --format=freeze 2>/dev/null | grep -iE '^(nbdev|fastcore|fastai|torch|timm|numpy|pandas|pillow|scikit-learn|safetensors|filelock|ImageHash|matplotlib)==' |
      sed "s/^/$which,$("$bin/python" -c 'import platform; print(platform.python_version())'),/; s/==/,/; s/$/,pytest and smoke run/"
  } >"$scratch/versions.csv"
  cp "$scratch/versions.csv" "$root/results/versions.csv"
done; done
