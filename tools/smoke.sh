#!/usr/bin/env bash
# The installed commands as a user meets them: the main job in its smallest form, then predictions, mistakes included.
#   tools/smoke.sh BIN FOLDER        BIN: where the environment's commands are; FOLDER: a new folder to work in
set -euo pipefail
bin=$(cd "$1" && pwd)
mkdir -p "$2"; cd "$2"
unset PYTHONPATH
fail() { printf 'smoke: %s\n' "$*" >&2; exit 1; }
expect() { # exit code, then the command
  local want=$1 got=0; shift
  "$@" >out.txt 2>err.txt || got=$?
  [ "$got" = "$want" ] && ! grep -q Traceback err.txt || { cat out.txt err.txt; fail "exit code $got, not $want: $*"; }
}

where=$("$bin/python" -c 'import plantnb; print(plantnb.__file__)')
echo "plantnb from ${where%/plantnb/__init__.py}"
for command in plantnb_run plantnb_fetch plantnb_predict; do
  expect 0 "$bin/$command" --help
  "$bin/python" -X importtime "$bin/$command" --help 2>&1 >/dev/null | grep -Eq '\| *(torch|fastai)$' && fail "$command --help imports torch or fastai"
  expect 2 "$bin/$command" --no-such-option
done

expect 0 "$bin/plantnb_fetch" all --show
cat out.txt

echo "plantnb_run ${SMOKE_RUN:=--recipe article --epochs 1 --pairs 200}"
"$bin/plantnb_run" --out run $SMOKE_RUN
for artefact in config.json manifest.csv references.csv scores.csv metrics.json report.html models/baseline/model.safetensors models/baseline/graph.json \
  models/baseline/config.json models/baseline/history.csv models/twin_resnet/model.safetensors; do
  [ -s "run/$artefact" ] || fail "run/$artefact was not written"
done

toy=$("$bin/python" -c 'from plantnb.toy import toy_leaves; print(toy_leaves())')
mkdir -p 'wild leaves' none
find "$toy/test" -name '*.jpg' -not -path '*/_masks/*' | sort | awk 'NR % 20 == 0' | while IFS= read -r f; do cp "$f" "wild leaves/$(echo "${f#"$toy"/test/}" | tr '/' '-')"; done
for model in baseline twin_resnet; do
  expect 0 "$bin/plantnb_predict" --model "run/models/$model" 'wild leaves'
  cat out.txt
  expect 0 "$bin/plantnb_predict" --model "run/models/$model" --format json 'wild leaves'
  "$bin/python" -c 'import json; d = json.load(open("out.txt")); assert all(0 <= r["score"] <= 1 for r in d["leaves"]), d'
done
expect 0 "$bin/plantnb_predict" 'wild leaves' --csv answers.csv   # the packaged model, nothing trained
cat out.txt
[ "$(wc -l <answers.csv)" -gt 1 ] || fail 'the packaged model answered nothing'
for model in '' '--model run/models/baseline'; do
  "$bin/python" -X importtime "$bin/plantnb_predict" $model 'wild leaves' 2>&1 >/dev/null | grep -Eq '\| *(torch|fastai|timm)$' && fail "plantnb_predict $model imports torch"
done
echo 'no picture' >'wild leaves/note.jpg'
expect 1 "$bin/plantnb_predict" --model run/models/baseline 'wild leaves' missing.jpg none
cat err.txt
[ "$(wc -l <err.txt)" = 3 ] || fail 'three mistakes, so three lines on stderr'
expect 1 "$bin/plantnb_predict" --model no/such/model 'wild leaves'
echo 'smoke: all of it holds'
