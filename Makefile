# The two commands of the README: `make demo` and `make test`. All make the environment .venv if it is missing.

export OMP_WAIT_POLICY ?= PASSIVE
PYTHON ?= python3
PIP_OPTIONS ?=
PIP = .venv/bin/pip install --quiet --disable-pip-version-check $(PIP_OPTIONS) -c constraints.txt

.PHONY: demo test faults check docs site

demo: .venv/installed
	.venv/bin/lso-bench run --model vae,nevae_se --task glyphs50 --searcher adam:lr=0.3

test: .venv/installed
	OMP_NUM_THREADS=1 .venv/bin/pytest --numprocesses 2 --dist worksteal

# A file's tests stay in one process: those of Ray look for what another cluster might leave.
faults: .venv/installed
	OMP_NUM_THREADS=1 .venv/bin/pytest -m faults --numprocesses 2 --dist loadfile

check: .venv/installed
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/python .ci/language.py
	.venv/bin/pyright
	$(MAKE) site

# The documents as a site: `docs` serves it, `site` builds it in site/ and fails on a broken link.
docs: .venv/installed
	.venv/bin/python docs/stage.py
	.venv/bin/zensical serve

site: .venv/installed
	.venv/bin/python docs/stage.py
	.venv/bin/zensical build --strict --clean

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(PIP) torch torchvision
	$(PIP) -e '.[dev,docs]'
	touch .venv/installed
