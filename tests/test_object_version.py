"""Versions of objects of Python: they follow what an object holds, and the code and values that its methods use."""

import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from lso_bench.errors import UsageError
from lso_bench.plugins import object_version
from lso_bench.plugins.object_version import object_hash

ROOT = Path(__file__).parents[1]
SCORE = "class T:\n    def score(self, x):\n        return BODY\nplugin = T()\n"


def cell(*sources, **scope):
    """Return `plugin` after these sources were executed one after the other, as the cells of a notebook are."""
    scope = {"__name__": "__main__", **scope}
    for source in sources:
        exec(compile(source, "<cell>", "exec"), scope)
    return scope["plugin"]


def test_code_in_the_main_module_counts_whatever_installed_program_executes_it(tmp_path, monkeypatch):
    launcher, file = ModuleType("__main__"), tmp_path / "site-packages" / "profiler.py"
    file.parent.mkdir()
    file.touch()
    launcher.__file__ = str(file)
    monkeypatch.setitem(sys.modules, "__main__", launcher)
    wrapped = "from lso_bench import AskTell\nplugin = AskTell(lambda problem: BODY, name='wrapped')"
    for source in (SCORE, wrapped):
        versions = {object_hash(cell(source.replace("BODY", body))) for body in ("0.5", "1.5")}
        assert len(versions) == 2, source


def test_value_of_a_cached_property_makes_no_other_version():
    plugin = cell(
        "import functools\nclass T:\n    @functools.cached_property\n    def f(self):\n        return 3\nplugin = T()"
    )
    before = object_hash(plugin)
    assert plugin.f == 3 and object_hash(plugin) == before


ASSEMBLED = {
    "make_dataclass": "plugin = dataclasses.make_dataclass('T', [('k', float, 0.2)], bases=(Base,), namespace=BODY)()",
    "type": "plugin = type('T', (Base,), BODY)()",
    "type, values alone": "plugin = type('T', (Scored,), BODY)()",
    "new_class": "plugin = types.new_class('T', (Base,), exec_body=lambda scope: scope.update(BODY))()",
}
BASES = """import abc, dataclasses, types
class Base(abc.ABC):
    pass
class Scored(Base):
    def score(self, x):
        return x * self.k
"""


@pytest.mark.parametrize("way", ASSEMBLED)
def test_class_that_a_call_assembled_has_another_version_where_its_body_differs(way):
    """Its module is `abc`, `types` or `dataclasses`, whose code counts by name."""
    bodies = (
        ("dict(k=2)", "dict(k=3)") if "alone" in way else ("dict(score=lambda s, x: x)", "dict(score=lambda s, x: -x)")
    )
    first, again, edited = (object_hash(cell(BASES, ASSEMBLED[way].replace("BODY", b))) for b in (bodies[0], *bodies))
    assert first == again != edited


class Net(torch.nn.Module):
    def __init__(self, k: float):
        super().__init__()
        self.k = k
        self.linear = torch.nn.Linear(2, 2)
        torch.nn.init.eye_(self.linear.weight)
        torch.nn.init.zeros_(self.linear.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x) * self.k


class Twice(Net):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(self.linear(x)) * self.k


def holding(network):
    return cell(
        "class T:\n    def __init__(self, held):\n        self.held = held\nplugin = T(network)", network=network
    )


def scripted(kind, k, bias=0.0):
    network = kind(k)
    torch.nn.init.constant_(network.linear.bias, bias)
    return torch.nn.Sequential(torch.jit.script(network))


@pytest.mark.filterwarnings("ignore:.torch.jit")
def test_version_of_a_scripted_network_follows_its_weights_attributes_and_code(tmp_path):
    networks = scripted(Net, 1.0), scripted(Net, 2.0), scripted(Net, 1.0, bias=0.5), scripted(Twice, 1.0)
    versions = [object_hash(holding(n)) for n in networks]
    assert len({*versions}) == 4
    networks[0][0].save(tmp_path / "net.pt")
    for _ in range(2):  # a second network of a name has another one in this process
        loaded = torch.nn.Sequential(torch.jit.load(tmp_path / "net.pt"))
        assert object_hash(holding(loaded)) == versions[0]


def scoring(body, *before, **scope):
    return cell(*before, SCORE.replace("BODY", body), **scope)


EDITS = {  # each a pair of lists of cells, of which only a part that the object uses differs
    "method": ([SCORE.replace("BODY", "x + 1")], [SCORE.replace("BODY", "x + 2")]),
    "attribute of the class": (
        ["class T:\n    worst = -1\nplugin = T()"],
        ["class T:\n    worst = -2\nplugin = T()"],
    ),
    "base class": tuple(
        [f"class B:\n    def f(self):\n        return {n}", "class T(B):\n    pass\nplugin = T()"] for n in (1, 2)
    ),
    "property": tuple([f"class T:\n    @property\n    def f(self):\n        return {n}\nplugin = T()"] for n in (1, 2)),
    "static method": tuple(
        [f"class T:\n    @staticmethod\n    def f():\n        return {n}\nplugin = T()"] for n in (1, 2)
    ),
    "helper": tuple([f"def helper(x):\n    return {n}", SCORE.replace("BODY", "helper(x)")] for n in (1, 2)),
    "helper of a helper": tuple(
        [f"def h(x):\n    return {n}\ndef g(x):\n    return h(x)", SCORE.replace("BODY", "g(x)")] for n in (1, 2)
    ),
    "helper of a lambda": tuple(
        [f"def h(x):\n    return {n}", SCORE.replace("BODY", "[*map(lambda y: h(y), x)]")] for n in (1, 2)
    ),
    "cached helper": tuple(
        [f"import functools\n@functools.cache\ndef h(x):\n    return {n}", SCORE.replace("BODY", "h(x)")]
        for n in (1, 2)
    ),
    "class": tuple(
        [f"class H:\n    def go(self):\n        return {n}", SCORE.replace("BODY", "H().go()")] for n in (1, 2)
    ),
    "value": tuple([f"WEIGHTS = {{'a': [1, {n}]}}", SCORE.replace("BODY", "WEIGHTS['a']")] for n in (1, 2)),
    "kind of a value": tuple([f"N = {n}", SCORE.replace("BODY", "N")] for n in ("1", "1.0")),
    "default": tuple([f"def h(x, n={n}):\n    return n", SCORE.replace("BODY", "h(x)")] for n in (1, 2)),
    "part of an object": tuple(
        [f"class H:\n    n = 1\nrule = H()\nrule.n = {n}", SCORE.replace("BODY", "rule.n")] for n in (1, 2)
    ),
    "bound method": tuple(
        [
            f"class H:\n    def go(self):\n        return self.n\nh = H()\nh.n = {n}\ngo = h.go",
            SCORE.replace("BODY", "go()"),
        ]
        for n in (1, 2)
    ),
    "pattern": tuple([f"import re\nP = re.compile('{n}')", SCORE.replace("BODY", "P.match(x)")] for n in "ab"),
    "named values": tuple(
        [f"import enum\nclass E(enum.Enum):\n    A = {n}", SCORE.replace("BODY", "E.A.value")] for n in (1, 2)
    ),
    "data frame": tuple(
        [
            f"import pandas as pd\nF = pd.DataFrame({{'a': [0.0] * 500 + [{n}] + [0.0] * 500}})",
            SCORE.replace("BODY", "F.a.sum()"),
        ]
        for n in (1, 2)
    ),
    "nested class": tuple(
        [f"def make():\n    class I:\n        n = {n}\n    return I", SCORE.replace("BODY", "make().n")] for n in (1, 2)
    ),
}


@pytest.mark.parametrize("edit", EDITS)
def test_object_of_a_notebook_has_another_version_where_what_it_uses_is_edited(edit):
    before, after = EDITS[edit]
    assert object_hash(cell(*before)) == object_hash(cell(*before)) != object_hash(cell(*after))


VALUES = {
    "array": (np.zeros(5000), np.r_[np.zeros(2500), 1, np.zeros(2499)]),
    "array of objects": (np.array(["a", None], dtype=object), np.array(["b", None], dtype=object)),
    "tensor": (torch.zeros(3), torch.tensor([0.0, 0.0, 1.0])),
    "tensor in bfloat16": (torch.zeros(3).bfloat16(), torch.ones(3).bfloat16()),
    "sparse tensor": (torch.eye(3).to_sparse(), torch.zeros(3, 3).to_sparse()),
    "dtype of a tensor": (torch.zeros(2), torch.zeros(2).int()),
    "network": tuple(torch.nn.Linear(2, 1).requires_grad_(False) for _ in range(2)),
}


@pytest.mark.parametrize("kind", VALUES)
def test_arrays_and_networks_that_a_method_uses_count_by_their_values(kind):
    first, second = (object_hash(scoring("V", V=v)) for v in VALUES[kind])
    assert first != second and first == object_hash(scoring("V", V=VALUES[kind][0]))


def test_network_that_is_trained_further_makes_another_version():
    network = torch.nn.Linear(2, 1)
    plugin = scoring("network(x)", network=network)
    before = object_hash(plugin)
    with torch.no_grad():
        network.weight.mul_(-1)
    assert object_hash(plugin) != before


def module_of(source, name="notes_of_mine"):
    module = ModuleType(name)
    exec(source, vars(module))
    return module


def test_what_is_used_of_a_module_of_the_user_counts_and_the_rest_does_not():
    first, second, unused = (
        object_hash(scoring("notes.h(x)", notes=module_of(source)))
        for source in ("def h(x): return 1", "def h(x): return 2", "def h(x): return 1\ndef g(x): return 3")
    )
    assert first == unused != second


def test_module_that_a_method_imports_counts_whether_it_is_imported_yet_or_not(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "late_notes", raising=False)
    body = "__import__ and late_notes.N"
    source = SCORE.replace("return BODY", f"import late_notes\n        return {body}")
    versions = []
    for n in (1, 2):
        (tmp_path / "late_notes.py").write_text(f"N = {n}")
        sys.modules.pop("late_notes", None)
        plugin = cell(source)
        versions += [object_hash(plugin), plugin.score(0) and object_hash(plugin)]
    sys.modules.pop("late_notes")
    assert versions[0] == versions[1] != versions[2] == versions[3]


def test_code_of_installed_packages_counts_by_name(monkeypatch):
    plugin = scoring("np.array(x) + CMA", np=np, CMA=__import__("cmaes").CMA)
    before = object_hash(plugin)
    monkeypatch.setattr("cmaes.CMA.ask", lambda self: None)
    assert object_hash(plugin) == before


def test_comments_layout_and_place_do_not_count():
    before = scoring("x + 1")
    assert object_hash(before) == object_hash(scoring("(x  +  1)  # a sum", "\n\n\nunused = 3"))


def test_values_that_lead_back_to_themselves_are_followed():
    def recursive(n):
        return cell(
            f"def even(n):\n    return n == {n} or odd(n - 1)\ndef odd(n):\n    return n != 0 and even(n - 1)",
            SCORE.replace("BODY", "even(x) and BOX"),
            BOX=box,
        )

    box = {}
    box["self"] = [box]
    assert object_hash(recursive(0)) == object_hash(recursive(0)) != object_hash(recursive(1))


def test_too_many_or_too_deep_values_are_refused_with_a_line(monkeypatch):
    deep = []
    for _ in range(5000):
        deep = [deep]
    with pytest.raises(UsageError, match="T uses more than 1,000,000 values, or some that are nested too deep"):
        object_hash(scoring("V", V=deep))
    monkeypatch.setattr(object_version, "MOST", 100)
    with pytest.raises(UsageError, match="T uses more than 100 values"):
        object_hash(scoring("V", V=[*range(200)]))


def test_what_is_used_and_cannot_be_followed_is_warned_of():
    with pytest.warns(UserWarning, match="T uses LOCK, with a lock in it, of which no version sees a change"):
        object_hash(scoring("LOCK", LOCK=threading.Lock()))


def test_what_is_held_and_cannot_be_followed_is_refused():
    plugin = scoring("x")
    plugin.lock = threading.Lock()
    with pytest.raises(UsageError, match="with a lock in it has no value that another process could compare"):
        object_hash(plugin)


ALL = """
import enum, re
from collections import namedtuple
from dataclasses import dataclass, field
import numpy as np, torch, pandas as pd
NAMES, WORDS, P = {"a", "b", "c"}, frozenset(["x", "y", "z"]), re.compile("a+")
class E(enum.Enum):
    A = 1
Pair = namedtuple("Pair", "a b")
@dataclass(frozen=True)
class D:
    n: int = 1
    items: list = field(default_factory=list)
def h(x):
    return x in {"p", "q", "r"} or x in NAMES or P.match(x) or E.A or Pair(1, 2) or D()
class T(D):
    def score(self, x):
        return h(x), [n for n in WORDS], np.float64(1), torch.nn.functional.relu, F, R, G
F, R, G = pd.DataFrame({"a": [1.0, 2.0]}), np.random.default_rng(3), torch.float32
plugin = T()
"""


def test_version_is_the_same_in_another_process_with_another_order_of_sets():
    program = f"{ALL}\nfrom lso_bench.plugins.object_version import object_hash\nprint(object_hash(plugin))"
    environment = os.environ | {"PYTHONHASHSEED": "12"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, cwd=ROOT, capture_output=True, text=True)
    assert re.fullmatch(r"[0-9a-f]{64}\n", done.stdout), done.stderr
    assert done.stdout.strip() == object_hash(cell(ALL))


@pytest.mark.parametrize("recorded", [True, False])
def test_state_of_a_package_counts_unless_pip_recorded_it(tmp_path, monkeypatch, recorded):
    """The record lies beside the package, as `pip install --target` leaves it."""
    name = f"counting_{recorded}".lower()
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").write_text(
        "STATE = [0]\n\n\ndef count():\n    STATE[0] += 1\n    return STATE[0]\n"
    )
    (tmp_path / f"{name}-1.0.dist-info").mkdir()
    (tmp_path / f"{name}-1.0.dist-info" / "RECORD").write_text(f"{name}/__init__.py,,\n" * recorded)
    monkeypatch.syspath_prepend(str(tmp_path))
    plugin = cell(f"from {name} import count\n" + SCORE.replace("BODY", "count()"))
    before = object_hash(plugin)
    plugin.score(0)
    assert (object_hash(plugin) == before) == recorded
