#!/usr/bin/env bash
# All training data of the next nano, and what its experts say of the pictures: about an hour on two
# cores, 1.3 GB. Goes on where it was stopped.
#
#   studies/nano/data.sh runs/nano-data
#
# Needs the extra nano-data, and from Debian: chromium, poppler-utils, gnuplot-nox.
set -euo pipefail
cd "$(dirname "$0")/../.."
folder=${1:?where the data goes}
python=${PYTHON:-.venv/bin/python}
make() { "$python" -m studies.nano.data "$1" --output "$folder/$2" --count "$3" --seed "$4"; }
make text text_2 20000 2
make page_text page_text 4000 1
make routing routing 4000 1
make photos photos 2000 1
make places places 1500 1
make signs signs 800 1
make receipts receipts 1500 1
make screens screens 1500 1
make charts charts 2000 1
make pages pages 1500 1
make pairs pairs 500 1
make reports reports 500 1
make kinds kinds 600 1
"$python" -m studies.nano.words "$folder/photos" "$folder/places" --experts object location
"$python" -m studies.nano.words "$folder/signs" "$folder/pairs" "$folder/kinds" --experts text object location
