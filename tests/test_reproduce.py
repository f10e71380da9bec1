"""The paper's tables and figures: what is compared, and what the program itself points out."""

import pandas as pd
import pytest
from conftest import TINY, random_vae

from lso_bench.errors import UnusableError
from lso_bench.paper import TABLE_1, TABLE_2
from lso_bench.report import reproduction
from lso_bench.reproduce import FIGURE_2, Wanted, disorder, models_of, reproduce, untrained
from vae import zoo
from vae.checkpoint import save_model
from vae.zoo import Model

COLUMNS = ["model", "latent", "measure", "paper", "ours", "error", "difference"]


def rows(*lines) -> pd.DataFrame:
    return pd.DataFrame([[*line, line[4] - line[3]] for line in lines], columns=COLUMNS)


def test_paper_has_every_row_by_the_name_of_its_model():
    assert list(TABLE_1) == list(zoo.TABLE_1)
    assert {m: sizes[32] for m, sizes in TABLE_2.items()} == {m: TABLE_1[m].au for m in TABLE_2}


def test_pairs_in_the_other_order_are_pointed_out():
    found, pairs = disorder(
        rows(
            ("a", 32, "MI", 1.0, 3.0, 0.1),
            ("b", 32, "MI", 2.0, 2.0, 0.1),
            ("c", 32, "MI", 3.0, 4.0, 0.1),
            ("a", 32, "AU", 6, 6, 0),
            ("b", 32, "AU", 6, 9, 0),
        )
    )
    assert found == ["MI: in the paper b 2 > a 1; here 2 < 3"]
    assert pairs == 3  # a, b and c by MI; the paper gives no order by AU


@pytest.mark.parametrize(("ours", "told"), [(2.2, 0), (2.4, 1)])
def test_differences_within_two_standard_errors_are_not(ours, told):
    found, _ = disorder(rows(("a", 32, "KL", 1.0, ours, 0.1), ("b", 32, "KL", 2.0, 2.0, 0.1)))
    assert len(found) == told


def test_table_2_has_every_size_and_figure_2_its_models():
    assert {m.latent for m in models_of(Wanted("table2"))} == {8, 16, 32, 64}
    assert tuple(m.name for m in models_of(Wanted("fig2"))) == FIGURE_2
    assert [m.name for m in models_of(Wanted("table1", models=["vae", "nevae_se"]))] == ["vae", "nevae_se"]


@pytest.fixture
def trained(tmp_path):
    """Tiny models where `vae` and `nevae_se` of 8 dimensions on glyphs are looked for."""
    history = [{"epoch": e, "reencoding_mean": 2.0 / e} for e in (1, 2, 3)]
    for i, name in enumerate(("vae", "nevae_se")):
        header = {"command": f"as in a test, {name}", "epochs": 3, "versions": {"torch": "0"}, "history": history}
        arch = TINY.__class__(**{**vars(TINY), "latent": 8})
        save_model(tmp_path / "checkpoints" / Model(name, "glyphs", "conv", 8).file, random_vae(arch, seed=i), header)


def test_what_is_trained_stands_beside_the_paper_and_the_rest_is_named(trained, tmp_path):
    wanted = Wanted("table2", "glyphs", "conv")
    assert len(untrained(models_of(wanted))) == 12 - 2
    found = reproduce(wanted, tmp_path)
    assert list(found.rows.paper) == [5, 8] and list(found.rows.latent) == [8, 8]
    assert (found.rows.ours - found.rows.paper == found.rows.difference).all()
    text = reproduction.markdown(found)
    assert "| vae | 8 | 5 |" in text and "as in a test, nevae_se" in text
    assert "aggressive (d = 64)" in text.partition("not trained")[2]
    md, table = reproduction.write(found, "table2", tmp_path / "out")
    assert md.read_text() == text and pd.read_csv(table).shape == (2, 7)


def test_nothing_trained_is_one_line(tmp_path):
    with pytest.raises(UnusableError, match="None of the models of table2"):
        reproduce(Wanted("table2", "mnist", "conv"), tmp_path)
