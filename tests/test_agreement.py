"""Whatever is accepted is written so that it is read again, or is refused before a run begins."""

import json
import math
import shlex
import string
from dataclasses import asdict, fields, replace
from typing import get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_fuzz import MANY

from lso_bench.bounds import LATENT, SEED, WHOLE
from lso_bench.commands.options import numbers
from lso_bench.errors import PluginError, UnusableError, UsageError
from lso_bench.files.sanitize import file_part
from lso_bench.plugins.settings import apply_settings
from lso_bench.record import FILES, Record, SearchResult
from lso_bench.report.figure_files import _file_name
from lso_bench.search import SEARCHERS
from lso_bench.spec import Seeds, Spec
from lso_bench.store import archive, index, run_folder, unpack
from lso_bench.store.schema import unreadable
from lso_bench.store.store import Store
from lso_bench.study import file as study_file
from lso_bench.study.grid import Grid, Protocol, plan, shard
from lso_bench.study.lookup import named_model
from lso_bench.task import TASKS
from lso_bench.vae.trained_model import Model

SANE = ["vae", "ink:target=0.3", "a b", "caf\u00e9", '"x"', "a\\b", "\x7f\u2028", "=1"]
ODD_TEXTS = ["\ud800x", "a\0b", "\x1b[2J", "\udce9"]
TEXTS = st.sampled_from(SANE) | st.text(max_size=6)
WHOLES = st.integers(1, 400) | st.integers(1, WHOLE)
ODD_WHOLES = [0, -1, 2**31, 2**53 - 1, 2**53, 2**63, 2**64, 10**30, True]
FLOATS = st.floats(5e-324, 1e300)
ODD_FLOATS = [math.nan, math.inf, -math.inf, 1e-400, 5e-324, 1e308, -0.0, 2**53]


def maybe(values):
    return st.none() | values


SPECS = st.tuples(
    st.tuples(TEXTS, TEXTS, TEXTS, st.integers(1, LATENT), st.integers(0, SEED)),
    st.just("0" * 64),
    TEXTS,
    TEXTS,
    st.tuples(st.integers(0, SEED), st.integers(0, SEED)),
    TEXTS,
    TEXTS,
    st.lists(TEXTS, min_size=1, max_size=3).map(tuple),
    WHOLES,
    maybe(WHOLES),
    maybe(FLOATS),
    maybe(WHOLES),
    WHOLES,
    st.lists(FLOATS, max_size=3).map(tuple),
    st.booleans(),
)


ODDITIES = st.sampled_from(
    [{}]
    + [{name: value} for name in ("max_steps", "budget", "patience", "check_every") for value in ODD_WHOLES]
    + [{name: value} for name in ("task", "searcher", "region", "decoding", "source") for value in ODD_TEXTS]
    + [{"seconds": value} for value in ODD_FLOATS]
    + [{"thresholds": (value,)} for value in ODD_FLOATS]
    + [{"starts": (value,)} for value in ODD_TEXTS]
    + [{"model": replace(Model("vae", "mnist"), seed=value)} for value in ODD_WHOLES]
    + [{"model": replace(Model("vae", "mnist"), name=value)} for value in ODD_TEXTS]
    + [{"seeds": Seeds(search=value)} for value in ODD_WHOLES]
)


def spec_of(values, oddity):
    """Made in the test, for its types are checked by drawing lots, which a strategy must not."""
    model, checkpoint, task, searcher, seeds, *rest = values
    spec = Spec(Model(*model), checkpoint, task, searcher, Seeds(*seeds), *rest)
    for name, value in oddity.items():
        object.__setattr__(spec, name, value)
    return spec


OFTEN = settings(MANY, max_examples=3 * MANY.max_examples)


@OFTEN
@given(SPECS, ODDITIES)
def test_every_spec_that_is_let_through_is_read_again_with_its_key(tmp_path, values, oddity):
    spec, store = spec_of(values, oddity), Store(tmp_path / "r")
    try:
        store.add(Record(spec, "ok"))
    except PluginError:
        assert unreadable(spec)
        return
    back = store.get(spec)
    assert spec in store and back.spec == spec and back.spec.key == spec.key == store.place(spec).name


SPEC = Spec(Model("vae", "omniglot"), "0" * 64, "omniglot50", "adam", starts=("random",))
NUMBERS = FLOATS | st.sampled_from([math.nan, math.inf, -math.inf, 1e308, -0.0])
COUNTS = st.dictionaries(TEXTS, WHOLES, max_size=2) | st.sampled_from([{"a": 2**53}, {"\ud800": 1}, {"a": -1}])
SECONDS = st.dictionaries(TEXTS, NUMBERS, max_size=2) | st.sampled_from([{"\ud800": 1.0}])
MEMBERS = st.tuples(
    st.just("random"),
    WHOLES,
    NUMBERS,
    NUMBERS,
    WHOLES,
    st.lists(maybe(WHOLES), min_size=len(SPEC.thresholds), max_size=len(SPEC.thresholds)),
    NUMBERS,
    NUMBERS,
    WHOLES,
    TEXTS,
    NUMBERS,
    st.text("0123456789abcdef", max_size=16),
    st.dictionaries(TEXTS, FLOATS, max_size=2),
    NUMBERS,
)
RECORDS = st.tuples(
    st.sampled_from(["ok", "diverged", "failed", "timeout"]),
    st.lists(MEMBERS, max_size=2),
    COUNTS,
    SECONDS,
    st.dictionaries(TEXTS, TEXTS | NUMBERS | WHOLES, max_size=2),
    maybe(TEXTS | st.sampled_from(ODD_TEXTS)),
    SECONDS,
)


def without_end(value):
    """Convert a value as JSON keeps it: what has no end is not a number."""
    if isinstance(value, dict):
        return {k: without_end(v) for k, v in value.items()}
    if isinstance(value, list):
        return [*map(without_end, value)]
    return "nan" if value is None or (isinstance(value, float) and not math.isfinite(value)) else value


@OFTEN
@given(RECORDS)
def test_every_record_that_is_let_through_is_read_again(tmp_path_factory, values):
    status, members, *rest, usual = values
    record = Record(SPEC, status, [SearchResult(*m) for m in members], *rest, usual=usual)
    store = Store(tmp_path_factory.mktemp("r"))
    try:
        store.add(record)
    except PluginError as error:
        assert "cannot be kept" in str(error) and not [*store] and not store.skipped
        return
    (back,) = store
    (indexed,) = index.records(store)
    for kept in (back, indexed):
        assert [without_end(asdict(m)) for m in kept.members] == [without_end(asdict(m)) for m in record.members]
        for name in ("status", "counts", "seconds", "usual"):
            assert without_end(getattr(kept, name)) == without_end(getattr(record, name))


def example(hint, name):
    """A value of a type that no default is."""
    known = {int: 7, float: 0.625, str: "abc", bool: True, dict[str, float]: {"a": 0.5}, dict[str, int]: {"a": 3}}
    known |= {list[int | None]: [3] * len(SPEC.thresholds)}
    special = {"start": "random", "image": "0f" * 8, "status": "diverged", "error": "why", "versions": {"torch": "2"}}
    special |= {"joint": {"random": [5] * len(SPEC.thresholds)}, "spec": SPEC}
    return special[name] if name in special else known[hint]


def test_every_field_of_a_record_and_of_its_members_survives_store_and_index(tmp_path):
    member = SearchResult(**{name: example(hint, name) for name, hint in get_type_hints(SearchResult).items()})
    plain = {n: h for n, h in get_type_hints(Record).items() if n not in ("members", *FILES)}
    record = Record(members=[member], **{name: example(hint, name) for name, hint in plain.items()})
    store = Store(tmp_path / "r")
    store.add(record)
    for (back,) in ([*store], index.records(store), index.records(store)):
        assert asdict(back.members[0]) == asdict(member)
        for name in plain:
            assert getattr(back, name) == getattr(record, name), name
    defaults = {f.name for f in fields(Record) if getattr(record, f.name) == getattr(Record(SPEC, "ok"), f.name)}
    assert defaults == {"spec", *FILES}


REFUSED = {
    f"--seed {2**53 + 1}": "to 4294967295",
    f"--seed {2**64}": "to 4294967295",
    "--seed -1": "from 0",
    "--seed 1_0": "whole numbers",
    f"--seed {'9' * 5000}": "whole numbers",
    f"--search-seed {2**62}": "to 4294967295",
    f"--train-seed {2**32}": "to 4294967295",
    f"--budget {10**18}": "9007199254740991",
    f"--max-steps {10**30}": "9007199254740991",
    f"--patience {10**17}": "9007199254740991",
    f"--check-every {10**19}": "9007199254740991",
    "--latent 1025": "1024",
    "--thresholds 1e400": "finite numbers",
    "--seconds inf": "finite",
    f"--starts data:{'9' * 5000}": "No start",
    f"--starts data:{10**20}": "No start",
    "--starts data:1001": "at most 1,000",
    "--seed {0} --search-seed {0}".format(",".join(map(str, range(1500)))): "combine to 2,250,000 runs",
    f"--shard 1/{'9' * 5000}": "wants a part like",
    f"--override 'budget={2**53} model=vae'": "budget",
    f"--exclude seed={2**60}": "seed",
}


@pytest.mark.parametrize("options", REFUSED, ids=lambda o: o[:30])
def test_number_that_no_result_holds_is_refused_before_a_run_begins(call, checkpoint, tmp_path, options):
    size = [] if "--latent" in options else ["--latent", "4"]
    run = call("run", "--model", "vae", "--task", "glyphs50", *size, *shlex.split(options))
    assert run.returncode == 2 and "Traceback" not in run.stderr, run.stderr
    assert REFUSED[options] in " ".join(run.stderr.split()) and not (tmp_path / "results").exists()


OTHERS = [
    f"train --model vae --data glyphs --seed {2**63 - 1}",
    f"train --model vae --data glyphs --epochs {10**30}",
    f"train-judge density glyphs --seed {2**33}",
    f"evaluate --model vae --data glyphs --draws {10**20}",
    f"evaluate --model vae --data glyphs --codes {10**15}",
    f"evaluate --model vae --data glyphs --seed {2**64}",
    f"traverse --model vae --data glyphs --draws {2**64}",
    "traverse --model vae --data glyphs --steps 1001",
    f"reproduce table1 --train-seed {2**53}",
    f"reproduce search --seed {2**53}",
    f"import-checkpoint x.pt --model vae --data glyphs --seed {2**40}",
    f"check-searcher adam --steps {10**20}",
    "train --model vae:\udce9 --data glyphs",
    "train --model vae --data ./caf\udce9",
    "train --model vae --data glyphs --arch small\udce9",
    "run --model vae --task ./caf\udce9.py",
    "run --model vae --task ink --searcher ./caf\udce9.py",
    "check-task ./caf\udce9.py",
]


@pytest.mark.parametrize("line", OTHERS, ids=lambda o: ascii(o)[:50])
def test_every_command_refuses_what_no_file_holds(call, line):
    done = call(*line.split())
    assert done.returncode == 2 and "Traceback" not in done.stderr and "fault of lso-bench" not in done.stderr
    assert done.stderr.strip()


def test_largest_numbers_are_taken_and_read_again(checkpoint, tmp_path):
    protocol = Protocol(("random",), budget=WHOLE, max_steps=WHOLE, patience=WHOLE, check_every=WHOLE)
    grid = Grid(["vae"], ["glyphs50"], seeds=numbers("seed", [f"{SEED}"]), search_seeds=[SEED], latent=4)
    (run,) = plan(grid, protocol)
    store = Store(tmp_path / "r")
    assert store.add(Record(run.spec, "ok")) and run.spec in store
    assert named_model("vae", "glyphs", "small", LATENT, SEED).seed == SEED
    assert shard([run], f"1/{WHOLE}") in ([run], [])


STUDY = {
    "seeds = [9007199254740993]": "seeds",
    "train_seeds = [-1]": "train_seeds",
    "latent = 1025": "latent",
    "budget = 9007199254740992": "budget",
    f"patience = {10**400}": "patience",
    f"seconds = {10**400}": "seconds",
    f"thresholds = [{10**400}]": "thresholds",
    "seconds = 1e400": "seconds",
    "thresholds = [nan]": "thresholds",
}


@pytest.mark.parametrize("line", STUDY, ids=lambda o: o[:30])
def test_study_file_refuses_what_the_command_line_refuses(tmp_path, line):
    (tmp_path / "s.toml").write_text(f'models = ["vae"]\ntasks = ["ink"]\n{line}\n')
    with pytest.raises(UsageError, match=f"{STUDY[line]}: wanted"):
        study_file.read(tmp_path / "s.toml")


@pytest.mark.parametrize("odd", ["a\0b", "a\nb", "a\u2028"], ids=["nul", "line break", "line separator"])
@pytest.mark.parametrize("name", ["tasks", "models", "searchers", "regions"])
def test_name_with_nul_or_of_two_lines_in_a_study_is_refused(tmp_path, name, odd):
    rest = {"models": ["vae"], "tasks": ["ink"], "searchers": ["sobol"], "regions": ["box:2"]} | {name: [odd]}
    text = "\n".join(f"{k} = {json.dumps(v)}" for k, v in rest.items())
    (tmp_path / "s.toml").write_text(f'arch = "conv"\n{text}')
    with pytest.raises(UsageError):
        plan(*study_file.read(tmp_path / "s.toml"))


@pytest.mark.parametrize("name", ["nl\nx.py", "nl\rx.py", "nl.py\n", "x\u2028.py"])
def test_file_whose_name_has_two_lines_is_refused_as_task_and_data(tmp_path, name):
    from lso_bench.vae.datasets import DATASETS

    (tmp_path / name).touch()
    for refuse in (lambda text: TASKS.build(text), DATASETS.build):
        with pytest.raises(UsageError, match="wanted a name in UTF-8, of one line and without NUL; rename"):
            refuse(f"{tmp_path}/{name}")


def test_no_seconds_at_all_are_taken_by_study_and_command_line_alike(call, tmp_path):
    (tmp_path / "s.toml").write_text('models = ["vae"]\narch = "conv"\ntasks = ["ink"]\nseconds = -0.0')
    (of_file,) = plan(*study_file.read(tmp_path / "s.toml"))
    for zero in ("0", "-0.0"):
        done = call("run", "--model", "vae", "--arch", "conv", "--task", "ink", "--seconds", zero, "--dry-run")
        assert done.returncode == 0 and done.stdout.split()[0] == of_file.spec.key


@pytest.mark.parametrize("text", [f"lr={'9' * 400}", "beta1=nan", "lr=1e400"])
def test_setting_of_a_plugin_out_of_bounds_is_refused(text):

    with pytest.raises(UsageError, match=r"lr|beta1"):
        SEARCHERS.build(f"adam:{text}")


def test_whole_number_of_a_setting_has_the_same_bound():
    with pytest.raises(ValueError, match="latent: wanted a whole number from"):
        apply_settings(Model("vae", "glyphs"), {"latent": f"{2**53}"})
    assert apply_settings(Model("vae", "glyphs"), {"latent": f"{WHOLE}"}).latent == WHOLE


def test_threshold_below_the_smallest_number_is_zero_and_never_minus_zero():
    assert study_file.thresholds([0.5, float("1e-400"), -0.0, 0.0]) == (0.5, 0.0)
    assert math.copysign(1, study_file.thresholds([-0.0])[0]) == 1


NAMES = st.text(
    st.sampled_from(string.ascii_letters + ' ."\\é漢🂡\u200b\x1b\udce9+-=' + "あ" * 3), min_size=1, max_size=130
)


@OFTEN
@given(st.lists(st.lists(NAMES, min_size=1, max_size=3), min_size=1, max_size=3), st.binary(max_size=600))
def test_whatever_archive_packs_is_unpacked_as_it_was(tmp_path_factory, paths, content):
    folder = tmp_path_factory.mktemp("r")
    Store(folder)
    for path in paths:
        try:
            file = folder.joinpath("pictures", *path)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        except (OSError, UnicodeError):
            continue  # the system has no such name
    packed = folder.with_suffix(".tar.zst")
    try:
        archive.pack(folder, packed)
    except UnusableError as error:
        assert "rename it" in str(error) and not packed.exists()
        return
    place = unpack.unpack(packed)
    files = {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    assert {p.relative_to(place): p.read_bytes() for p in place.rglob("*") if p.is_file()} == files


@pytest.mark.parametrize("name", ["x" * 200 + ".png", "漢" * 80 + ".png", "/".join(["deep" * 20] * 20)], ids=len)
def test_long_names_go_into_an_archive_that_any_tar_reads(tmp_path, name):
    import io
    import tarfile

    from zstandard import ZstdDecompressor

    Store(tmp_path / "r")
    file = tmp_path / "r" / "pictures" / name
    file.parent.mkdir(parents=True)
    file.write_bytes(b"x")
    archive.pack(tmp_path / "r", tmp_path / "r.tar.zst")
    assert (unpack.unpack(tmp_path / "r.tar.zst") / "pictures" / name).read_bytes() == b"x"
    raw = ZstdDecompressor().stream_reader((tmp_path / "r.tar.zst").read_bytes()).read()
    with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
        assert f"pictures/{name}" in tar.getnames()


def test_archive_that_nobody_could_read_is_not_written(tmp_path, monkeypatch):
    monkeypatch.setattr(unpack, "SMALL", 2**16)
    monkeypatch.setattr(unpack, "MAX_EXPANSION", 2)
    Store(tmp_path / "r")
    (tmp_path / "r" / "zeros").write_bytes(bytes(2**20))
    with pytest.raises(UnusableError, match="may hold"):
        archive.pack(tmp_path / "r", tmp_path / "r.tar.zst")
    assert [p.name for p in tmp_path.iterdir()] == ["r"]


@pytest.mark.parametrize("names", [["漢" * 70] * 3, ["vae"] * 60, ["x" * 300], ["é/ü" * 50]])
def test_file_of_a_picture_has_a_name_that_every_system_takes(names):
    assert len(f"activity-{_file_name(names, [])}".encode()) <= 100
    assert len(file_part("".join(names)).encode()) <= 60


def test_model_whose_files_would_have_too_long_names_is_refused(tmp_path):
    (tmp_path / f"{'o' * 220}.py").write_text(
        "from lso_bench.vae.objectives.elbo import ELBO\nfrom dataclasses import dataclass\n"
        "@dataclass(frozen=True)\nclass Mine(ELBO):\n    'Mine.'\n"
    )
    with pytest.raises(UsageError, match="bytes, wanted 200 at most"):
        named_model(str(tmp_path / f"{'o' * 220}.py"), "glyphs", "small", 32, 0)


def test_damaged_reading_and_writing_use_one_reader(tmp_path):
    store = Store(tmp_path / "r")
    store.add(Record(SPEC, "ok"))
    assert run_folder.read(store.place(SPEC)) == store.get(SPEC) == store.read(f"{SPEC.key[:2]}/{SPEC.key}")


def test_ranges_of_seeds_are_written_with_a_dash():
    assert numbers("seed", ["0-3,7", "2"]) == [0, 1, 2, 3, 7]
    for text in ("3-1", "0-", "-1", "0-9999999", "a-b", "0-1-2"):
        with pytest.raises(UsageError, match="or ranges as 0-9"):
            numbers("seed", [text])
