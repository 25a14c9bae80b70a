#!/usr/bin/env bash
# A visual side for every set of nano's encoders, three seeds, plain fusion and MoV-Adapter, and the
# paper's claims. Run it again after it was stopped: every step goes on where it was.
#
#   studies/sides/run.sh FOLDER      takes a few hours on two cores
set -euo pipefail
cd "$(dirname "$0")/../.."
run=${1:?name a folder}
python=${PYTHON:-.venv/bin/python}
data=$run/data
make() { "$python" -m studies.nano.data "$1" --output "$data/$1" --count "$2" --seed "$3"; }
make text 16000 3
make photos 300 11
make places 300 11
make signs 200 11
make receipts 200 11
make charts 300 11
make pages 150 11
make kinds 250 11
pictures=("$data"/{photos,places,signs,receipts,charts,pages,kinds})
"$python" -m studies.nano.words "${pictures[@]}"
"$python" -m studies.nano.encode "${pictures[@]}" --count 300
# One thread each: two processes are faster than two threads.
"$python" -m studies.sides.roles "$run" --texts "$data/text/samples.jsonl" --seeds
for fusion in plain mova; do
  "$python" -m studies.sides.roles "$run" --texts "$data/text/samples.jsonl" --fusion "$fusion" &
done
wait
"$python" -m studies.sides.claims "$run" --texts "$data/text/samples.jsonl"
for fusion in plain mova; do
  "$python" -m openmova roles "$run/$fusion" --output "$run/$fusion-roles"
done
