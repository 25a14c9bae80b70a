#!/usr/bin/env bash
# Makes the embedded nano model anew, from packages to model card. Run it again after it was stopped:
# every stage goes on where it was.
#
#   recipes/nano.sh [FOLDER]          the run's folder, runs/nano if not given
#
# Needs: a clone with `make test` done once (or pip install -e '.[nano,train]' and the Makefile's
# packages), apt-get, dpkg and npm for the pictures. PYTHON=... takes another interpreter.
set -euo pipefail
cd "$(dirname "$0")/.."
run=${1:-runs/nano}
python=${PYTHON:-.venv/bin/python}
cat <<TEXT
Nano's training into $run: about 3 hours on 2 cores with bfloat16 arithmetic (added up from parts, not
run in one piece yet), 9 GB of memory, some GB of disk, pictures fetched once (Debian, npm). No
accelerator and nothing to pay for.
  experts   pretext of text, chart, location, object      85 minutes, as on one core
  align     6,900 images encoded, tokens aligned          25 minutes
  data      conversations and routing instructions         3 minutes
  finetune  the language model by LoRA                     80 minutes, one core for a part
  evaluate  150 questions, 105 of the open world            4 minutes
TEXT
mkdir -p "$run"

# stage NAME COMMAND...: run it and note the seconds that it took, also if it is stopped, for the
# model card.
running=
stage() {
  running=$1 begun=$SECONDS
  shift
  echo "== $running"
  "$@"
  note
}
note() {
  printf '%s\t%s\n' "$running" $((SECONDS - begun)) >>"$run/times.tsv"
  running=
}
trap '[ -z "$running" ] || note' EXIT
# make FILE COMMAND...: run it unless the file is there.
make() {
  local file=$1
  shift
  [ -e "$file" ] || "$@"
}
# report FILE COMMAND...: its last line of output, the JSON, into the file.
report() {
  local file=$1
  shift
  [ -e "$file" ] || { "$@" | tail -n 1 >"$file.part" && mv "$file.part" "$file"; }
}
nano() { "$python" -m studies.toy "$@" --folder "$run"; }
openmova() { "$python" -m openmova "$@"; }

data() {
  local asked=$run/data/conversations.json start=$run/start
  nano data
  openmova data check "$asked" --model "$start" --limit 500 --sheet "$run/data/sheet.png"
  make "$run/data/routing.json" openmova data routing "$asked" "$run/data/routing.json" \
    --model "$start" --count 800 --seed 1 --no-augmentation
  make "$run/data/routing-augmented.json" openmova data routing "$asked" \
    "$run/data/routing-augmented.json" --model "$start" --count 600 --seed 2
  make "$run/data/open-world.json" "$python" -m studies.claims.open_world "$run/data/open-world.json" \
    --model "$start" --count 800 --turns 4 --seed 1
}

evaluate() {
  local final=$run/finetune/final
  report "$run/eval.json" openmova eval --suite nano --model "$final" --seed 7 --n 30 --json
  report "$run/open-world.json" openmova eval --suite open-world --model "$final" --json
}

stage experts nano experts
stage align nano align
stage data data
stage finetune openmova train recipes/nano-finetune.yaml \
  model="$run/start" data.0.path="$run/data/conversations.json" \
  data.1.path="$run/data/routing.json" data.2.path="$run/data/routing-augmented.json" \
  data.3.path="$run/data/open-world.json" --output "$run/finetune" --resume
stage evaluate evaluate
stage export nano export
