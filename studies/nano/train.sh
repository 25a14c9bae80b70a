#!/usr/bin/env bash
# Makes the embedded model's weights anew, from packages. Run it again after it was stopped: every
# step goes on where it was.
#
#   studies/nano/train.sh FOLDER      takes hours on two cores; about 10 GB of disk
set -euo pipefail
cd "$(dirname "$0")/../.."
run=${1:?name a folder}
python=${PYTHON:-.venv/bin/python}
# Large tensors on large pages, and none given back to the system: a training step takes two thirds of the time.
export GLIBC_TUNABLES=glibc.malloc.hugetlb=1
export MALLOC_MMAP_THRESHOLD_=8589934592 MALLOC_TRIM_THRESHOLD_=8589934592
step() { "$python" -m "studies.nano.$@"; }

[ -e models/nano/nanodet.onnx ] || step convert_nanodet models/nano/nanodet.onnx
studies/nano/data.sh "$run/data"
pictures=("$run"/data/{photos,places,kinds,figures,gallery,signs,pairs})
rendered=("$run"/data/{pages,receipts,screens,reports})
step encode "${pictures[@]}" "${rendered[@]}" "$run/data/charts" --count 1000
step image_type "$run/data"
step words "$run"/data/{photos,kinds} --experts object
step words "$run/data/places" --experts location
step words "$run/data/signs" --experts text object location
step words "$run/data/pairs" --experts text chart object location
step words "$run/data/charts" --experts chart
step words "$run"/data/{figures,gallery} --experts chart --domain chart
step words_from_boxes "${rendered[@]}" --layout 220
step joint "$run/joint" --data "$run/data" --steps 900 --threads 2
step export "$run/joint" models/nano
