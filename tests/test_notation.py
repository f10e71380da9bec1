"""The notation of names, settings and lists: what is written is read as it was."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lso_bench.plugins import notation

TEXTS = st.text(st.sampled_from("ab1.,:=\"' /=_-é\t"), max_size=8)
NAMES = TEXTS.filter(bool)
KEYS = st.sampled_from(("target", "lr", "x_1", "é"))
ITEMS = st.tuples(NAMES, st.dictionaries(KEYS, TEXTS, max_size=3))


@given(ITEMS)
def test_what_is_written_is_read_as_it_was(item):
    assert notation.parse(str(notation.Choice(*item))) == item


@given(st.lists(ITEMS, min_size=1, max_size=4))
def test_a_list_is_read_as_its_items(items):
    texts = [str(notation.Choice(*item)) for item in items]
    assert notation.parts(notation.joined(texts)) == texts


@given(ITEMS)
def test_writing_again_changes_nothing(item):
    text = str(notation.Choice(*item))
    assert str(notation.parse(text)) == text


@given(st.text())
def test_any_text_has_a_name(text):
    assert isinstance(notation.name_of(text), str)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("adam", {"lr": "0.1", "beta1": "0.9"}),
        ("./mine.py", {"url": "http://h:8/p?q=1&a=b", "words": "two words"}),
        ("nevae_lp_-1.0", {"constant": "true"}),
        ("/tmp/a=b [1].py", {"text": ""}),
    ],
)
def test_what_needs_no_quotes_gets_none(name, settings):
    assert str(notation.Choice(name, settings)) == f"{name}:{','.join(f'{k}={v}' for k, v in settings.items())}"


@pytest.mark.parametrize(
    ("text", "listed"),
    [
        ("adam,sobol", ["adam", "sobol"]),
        ("adam:lr=0.1,beta1=0.8, sobol", ["adam:lr=0.1,beta1=0.8", "sobol"]),
        ("./url.py:a=2,url=http://h,ink", ["./url.py:a=2,url=http://h", "ink"]),
        ('"./a,b.py":x=1,"10:30.py"', ['"./a,b.py":x=1', '"10:30.py"']),
        ("box:3,ball:10", ["box:3", "ball:10"]),
        ("a,,b", ["a", "", "b"]),
    ],
)
def test_a_setting_belongs_to_the_name_before_it(text, listed):
    assert notation.parts(text) == listed


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('"./a.py', "not closed"),
        ("adam:lr=1,lr=2", "'lr' stands twice"),
        ("adam:lr", "key=value"),
        ("adam:lr=1,,b=2", "key=value"),
    ],
)
def test_what_is_no_notation_is_refused(text, says):
    with pytest.raises(ValueError, match=says):
        notation.parse(text)


@pytest.mark.parametrize("text", ["1_0", "\uff11", "٣", " 1", "", "0x1", "1e3", "1.0", "--1"])
def test_whole_numbers_are_plain_digits(text):
    with pytest.raises(ValueError, match="plain digits"):
        notation.whole(text)


@pytest.mark.parametrize("text", ["1_0", "1_0.5", "\uff11", " 1", "", "1e", "e1", "."])
def test_numbers_are_plain_digits(text):
    with pytest.raises(ValueError, match="plain digits"):
        notation.real(text)


@given(st.floats(), st.integers(-(2**53) + 1, 2**53 - 1))
def test_every_number_is_read_from_its_own_text(number, count):
    assert repr(notation.real(str(number))) == repr(number) and notation.whole(str(count)) == count


@pytest.mark.parametrize("text", ["a.py", "./a.py", "././a.py", ".//a.py"])
def test_a_path_has_one_spelling(text):
    assert notation.path_text(text) == "./a.py"


@pytest.mark.parametrize("text", ["/x/a.py", "../a.py", "./link/../a.py", "./sub/a.py"])
def test_a_path_keeps_its_meaning(text):
    assert notation.path_text(text) == text


@pytest.mark.parametrize("name", ["a,b.py", "10:30.py", 'we"ird.py'])
def test_a_path_that_wants_quotes_is_named_with_them(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).touch()
    (tmp_path / "plain.py").touch()
    for text in (f"./{name}", f"./{name}:target=0.3", f"./{name},ink"):
        assert str(notation.Choice(f"./{name}")) in notation.unquoted_path(text)
    assert not notation.unquoted_path(f"./plain.py:target=0.3,{os.curdir}/other.py")
