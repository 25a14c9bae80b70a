#!/usr/bin/env bash
# All training data of nano, 0.8 GB: about forty minutes on one core. Goes on where it was stopped.
#
#   studies/nano/data.sh runs/nano-data
#
# Needs the extra nano-data, and from Debian: chromium, poppler-utils, gnuplot-nox.
set -euo pipefail
cd "$(dirname "$0")/../.."
folder=${1:?where the data goes}
python=${PYTHON:-.venv/bin/python}
make() { "$python" -m studies.nano.data "$1" --output "$folder/$2" --count "$3" --seed "$4"; }
make text text 16000 3
make page_text page_text 1500 1
make routing routing 4000 1
make photos photos 1200 1
make places places 1000 1
make signs signs 500 1
make receipts receipts 600 1
make screens screens 600 1
make charts charts 900 1
make pages pages 600 1
make pairs pairs 400 1
make reports reports 300 1
make kinds kinds 600 1
make figures figures 500 1
make gallery gallery 1000 1
