#!/usr/bin/env bash
# What an accelerator can tell: parts that each end within nine minutes, on a machine that has Python
# 3.11 or 3.12, torch, transformers, accelerate, pytest and Pillow, and no way to the net.
#
#   benchmarks/accelerator.sh wheels      before, where there is one: small packages into .wheels
#   benchmarks/accelerator.sh [PART...]   there: tests, inference, training, nano; all if none is named
#   python benchmarks/accelerator.py report FOLDER    after: the figures into docs/
#
# Figures lie in $OUT, or else ./accelerator, as they are found: PART.json and PART.md. Carry the
# ignored folder .wheels along with the tracked files. PYTHON=... takes another interpreter.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
# What the command line and the tests need; whatever the machine has itself is left alone.
packages=(rich typer click shellingham pygments markdown-it-py mdurl annotated-doc hypothesis
  sortedcontainers attrs)
if [ "${1:-}" = wheels ]; then
  rm -rf .wheels
  "$python" -m pip download --quiet --no-deps --only-binary=:all: --python-version 3.12 --platform any \
    --dest .wheels "${packages[@]}"
  exec du -sh .wheels
fi
if [ $# = 0 ]; then set -- tests inference training nano; fi

site=$(mktemp -d)
trap 'rm -rf "$site"' EXIT
missing=$("$python" - .wheels/*.whl <<'PY'
import importlib.metadata as metadata, pathlib, sys
known = {d.metadata["Name"].lower().replace("-", "_") for d in metadata.distributions()}
files = [pathlib.Path(name) for name in sys.argv[1:]]
print(*(f for f in files if f.is_file() and f.name.partition("-")[0].lower() not in known))
PY
)
if [ -n "$missing" ]; then
  # shellcheck disable=SC2086: no name has a space
  "$python" -m pip install --quiet --no-index --no-deps --no-compile --target "$site" $missing
fi
export PYTHONPATH=$PWD/src:$site${PYTHONPATH:+:$PYTHONPATH} PYTHONUNBUFFERED=1
status=0
for part in "$@"; do
  timeout --kill-after=10 530 "$python" benchmarks/accelerator.py "$part" || status=$?
done
exit $status
