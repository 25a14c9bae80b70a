#!/usr/bin/env bash
# The paper's tables in miniature: trains nano's visual sides and compares them. Run it again after it
# was stopped: everything goes on where it was.
#
#   recipes/mini.sh [NANO] [FOLDER]   the folder of a run of recipes/nano.sh, and this run's own;
#                                     runs/nano and runs/mini if not given
#
# FOLDER/routers/with-augmentation and FOLDER/routers/without-augmentation, where they are there, are
# checkpoints whose routers table 10 compares (docs/routing.md says how such are trained).
# PYTHON=... takes another interpreter.
set -euo pipefail
cd "$(dirname "$0")/.."
nano=${1:-runs/nano}
run=${2:-runs/mini}
python=${PYTHON:-.venv/bin/python}
cat <<TEXT
The mini suite into $run, from the encoders and images of $nano.
  train     14 visual sides from 3 seeds, 400 steps each; says first how long this machine takes
  evaluate  about 12,200 answers and routings of nano's language model; 55 minutes on two cores
No accelerator and nothing to pay for; 3 GB of memory, 2 GB of disk.
TEXT
"$python" -m studies.claims "$run" --nano "$nano"
"$python" -m openmova eval --suite mini --variants "$run" --model "$nano/finetune/final" \
  --output "$run/eval"
cp "$run"/eval/results.{md,csv,png} docs/
