"""Figures of a comparison, and the colours of models."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from made import measures, searched
from PIL import Image

from lso_bench.collapse import SPACES
from lso_bench.colours import FAMILIES, colour_of
from lso_bench.diagrams import scatter
from lso_bench.figures import FIGURES
from lso_bench.report.gallery import figures
from vae.zoo import TABLE_1, Model


def test_every_model_of_table_1_has_a_colour_of_its_own():
    assert len({colour_of(m) for m in TABLE_1}) == len(TABLE_1)
    assert all(colour_of(m) == colour for m, colour in FAMILIES.items() if m not in ("beta_vae", "nevae_lp"))


def test_settings_do_not_take_the_plain_model_its_colour():
    assert colour_of("nevae_se:sample=false") != colour_of("nevae_se")


def test_colours_of_the_paper_s_four_models_differ_in_grey_too():
    def grey(c):
        return sum(w * int(c[i : i + 2], 16) for w, i in ((0.299, 1), (0.587, 3), (0.114, 5)))

    shades = [grey(colour_of(m)) for m in ("vae", "nevae_se", "beta_vae_0.9", "aggressive")]
    assert all(abs(a - b) > 8 for a, b in combinations(shades, 2))


@pytest.fixture
def two_models():
    def of(model, init):
        ways = [[9.0, 5.0 + i + 0.1 * init] for i in range(3)]
        return searched({"random": ways, "encoder": ways}, init=init, search=0, model=Model(model, "omniglot"))

    return [of(m, i) for m in ("vae", "nevae_se") for i in (0, 1)]


def test_figures_are_drawn_and_do_not_overwrite_those_of_other_models(two_models, tmp_path):
    both, alone = measures(*two_models), measures(*two_models[:2])
    files = [*figures(both, tmp_path), *figures(alone, tmp_path)]
    kinds = {f.name.partition("-")[0] for f in files}
    assert kinds == set(FIGURES) - {"distance"}  # no threshold was met
    assert len(set(files)) == len(files) == 6
    for f in files:
        with Image.open(f) as image:
            assert min(image.size) > 300


def test_distance_is_drawn_where_thresholds_were_met(two_models, tmp_path):
    for r in two_models:
        r.tensors["z_met"][:, 0] = r.tensors["z"]
    assert any(f.name.startswith("distance") for f in figures(measures(*two_models), tmp_path))


def test_ranks_are_drawn_of_three_models_and_ten_instances(tmp_path):
    def of(model, more):
        return searched({"random": [[99.0, 5.0 + i + more] for i in range(10)]}, model=Model(model, "omniglot"))

    three = [of("vae", 1.0), of("nevae_se", 0.0), of("rae", 0.5)]
    drawn = {f.name.partition("-")[0] for f in figures(measures(*three), tmp_path)}
    assert "ranks" in drawn and "collapse" not in drawn
    assert "ranks" not in {f.name.partition("-")[0] for f in figures(measures(*three[:2]), tmp_path)}


def test_collapse_is_drawn_where_three_models_differ(tmp_path):
    names = ("vae", "nevae_se", "rae")
    points = pd.DataFrame({"model": names, **dict.fromkeys(SPACES, np.nan), "final loss, random": [1.0, 2.0, np.inf]})
    assert not scatter(tmp_path / "none.png", "title", points)
    assert scatter(tmp_path / "some.png", "title", points.assign(MI=[3.0, 2.0, 1.0]))
    with Image.open(tmp_path / "some.png") as image:
        assert min(image.size) > 200
