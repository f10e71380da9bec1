# The two commands of the README: `make demo` and `make test`. All make the environment .venv if it is missing.

export OMP_WAIT_POLICY ?= PASSIVE
PYTHON ?= python3

.PHONY: demo test faults check docs site

demo: .venv/installed
	.venv/bin/lso-bench run --model vae,nevae_se --task glyphs50 --searcher adam:lr=0.3

test: .venv/installed
	OMP_NUM_THREADS=1 .venv/bin/pytest --numprocesses 2 --dist worksteal

faults: .venv/installed
	OMP_NUM_THREADS=1 .venv/bin/pytest -m faults

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
	.venv/bin/pip install --quiet --disable-pip-version-check -c constraints.txt torch torchvision
	.venv/bin/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,docs]'
	touch .venv/installed
