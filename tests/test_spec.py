"""The key of a run."""

from dataclasses import asdict, replace

import pytest
from made import SPEC

from lso_bench.spec import SCHEMA, Seeds, digest


@pytest.mark.parametrize("changed", [{}, {"seeds": Seeds(3, 4)}, {"starts": ("a", "b")}, {"seconds": 0.1}])
def test_the_key_is_the_digest_of_all_fields(changed):
    spec = replace(SPEC, **changed)
    assert spec.key == digest(SCHEMA, asdict(spec))
