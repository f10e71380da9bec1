# The two commands of the README: `make demo` and `make test`. Both make the environment .venv if it is missing.

export OMP_WAIT_POLICY ?= PASSIVE
PYTHON ?= python3

.PHONY: demo test faults check

demo: .venv/installed
	.venv/bin/lso-bench run --model vae,nevae_se --task glyphs50

test: .venv/installed
	OMP_NUM_THREADS=1 .venv/bin/pytest --numprocesses 2 --dist worksteal

faults: .venv/installed
	OMP_NUM_THREADS=1 .venv/bin/pytest -m faults

check: .venv/installed
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/python .ci/language.py
	.venv/bin/pyright

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	.venv/bin/pip install --quiet --disable-pip-version-check -c constraints.txt torch torchvision
	.venv/bin/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch .venv/installed
