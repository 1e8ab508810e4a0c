"""Odd files of classes and attributes, each made here: read as they are meant, or refused with a sentence."""

import json
from unicodedata import normalize

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.errors import InputError
from service.uploads.limits import Limits
from service.uploads.signatures.files import read_file
from service.uploads.signatures.given import LIMITS
from service.uploads.signatures.table import build, check_whole

NAN = float("nan")


@pytest.fixture
def read(tmp_path):
    """From bytes or text to signatures and notes."""

    def built(data, name="animals.csv", limits=LIMITS, groups=()):
        path = tmp_path / "sent"
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        given = read_file(path, name, limits)
        made = build(given, dict.fromkeys(groups, ()))
        check_whole(made.signatures, given.places.error)
        return made

    return built


def rows(made):
    """Class to values, None for what is missing."""
    found = made.signatures
    return {
        name: [None if np.isnan(v) else float(v) for v in row]
        for name, row in zip(found.classes, found.values, strict=True)
    }


# name: (file, file name, attributes, rows)
READ = {
    "plain": ("class,a,b\nx,1,0.5\ny,0,2\n", "a.csv", ["a", "b"], {"x": [1, 0.5], "y": [0, 2]}),
    "class is not first": ("a,Class,b\n1,x,2\n3,y,4\n", "a.csv", ["a", "b"], {"x": [1, 2], "y": [3, 4]}),
    "first column of another name": ("animal,a\nx,1\ny,0\n", "a.csv", ["a"], {"x": [1], "y": [0]}),
    "first column without a name": (",a\nx,1\ny,0\n", "a.csv", ["a"], {"x": [1], "y": [0]}),
    "pandas' index": (",class,a\n0,x,1\n1,y,0\n", "a.csv", ["a"], {"x": [1], "y": [0]}),
    "a comma at the ends": ("class,a,\nx,1,\ny,0,\n", "a.csv", ["a"], {"x": [1], "y": [0]}),
    "BOM, CRLF, blank lines": (b"\xef\xbb\xbfclass,a\r\n\r\nx,1\r\n\r\ny,0\r\n", "a.csv", ["a"], {"x": [1], "y": [0]}),
    "tabs": ("class\ta\nx\t1\ny\t0\n", "a.tsv", ["a"], {"x": [1], "y": [0]}),
    "semicolons, decimal commas": (
        "class;a;b\nx;1,5;yes\ny;1.000,25;no\n",
        "a.csv",
        ["a", "b"],
        {"x": [1.5, 1], "y": [1000.25, 0]},
    ),
    "quotes": (
        'class,"a, or b"\n"x ""y""",1\n"two\nlines",0\n',
        "a.csv",
        ["a, or b"],
        {'x "y"': [1], "two\nlines": [0]},
    ),
    "what is missing": (
        "class,a,b\nu,,1\nv,NA,2\nw, nan ,3\nx,NULL,4\ny,?,5\nz,1,6\n",
        "a.csv",
        ["a", "b"],
        {"u": [None, 1], "v": [None, 2], "w": [None, 3], "x": [None, 4], "y": [None, 5], "z": [1, 6]},
    ),
    "-1 is a number": ("class,a\nx,-1\ny,1\n", "a.csv", ["a"], {"x": [-1], "y": [1]}),
    "yes and no": ("class,a\nx,Yes\ny,FALSE\nz,1\nw,0\n", "a.csv", ["a"], {"x": [1], "y": [0], "z": [1], "w": [0]}),
    "numbers": ("class,a\nx,+1e2\ny,-.5\nz, 7 \n", "a.csv", ["a"], {"x": [100], "y": [-0.5], "z": [7]}),
    "words": (
        "class,tail,a\nx,none,1\ny,long,2\nz,,3\nw,None,4\n",
        "a.csv",
        ["tail=None", "tail=long", "tail=none", "a"],
        {"x": [0, 0, 1, 1], "y": [0, 1, 0, 2], "z": [None, None, None, 3], "w": [1, 0, 0, 4]},
    ),
    "classes of numbers": ("class,a\n1,1\n2,0\n", "a.csv", ["a"], {"1": [1], "2": [0]}),
    "decomposed names": ("class,a\ncafe\u0301,1\ny,0\n", "a.csv", ["a"], {"caf\xe9": [1], "y": [0]}),
    "JSON Lines": (
        '{"class": "x", "a": true}\n{"class": "y", "a": false, "b": 2}\n{"b": 1, "class": "z"}\n',
        "a.jsonl",
        ["a", "b"],
        {"x": [1, None], "y": [0, 2], "z": [None, 1]},
    ),
    "a JSON list": (
        '[{"class": "x", "a": 1}, {"class": "y", "a": null, "b": 1}]',
        "a.json",
        ["a", "b"],
        {"x": [1, None], "y": [None, 1]},
    ),
}


@pytest.mark.parametrize(("data", "name", "attributes", "expected"), READ.values(), ids=READ)
def test_files_that_are_read(read, data, name, attributes, expected):
    made = read(data, name)
    assert list(made.signatures.attributes) == attributes
    assert rows(made) == expected


# name: (file, file name, error code, words of the message, rows of the problems)
REFUSED = {
    "empty": ("", "a.csv", "upload-unreadable", ["empty"], []),
    "header only": ("class,a\n", "a.csv", "upload-refused", ["no rows", "one row for each class"], []),
    "one class": ("class,a\nx,1\n", "a.csv", "upload-refused", ["There is 1 class ('x')", "Send two or more"], []),
    "no attribute": ("class\nx\ny\n", "a.csv", "upload-refused", ["no attribute", "labels"], []),
    "class twice": ("class,a\nx,1\ny,0\n x ,1\n", "a.csv", "upload-refused", ["'x' is there already, at row 1"], [3]),
    "no name": ("class,a\nx,1\n,0\ny,2\n", "a.csv", "upload-refused", ["row 2", "name is blank"], [2]),
    "attribute twice": (
        "class,a,a\nx,1,1\ny,0,0\n",
        "a.csv",
        "upload-refused",
        ["More than one attribute is called 'a'"],
        [],
    ),
    "two columns of classes": (
        "class,Class,a\nx,x,1\ny,y,0\n",
        "a.csv",
        "upload-refused",
        ["More than one column"],
        [],
    ),
    "a value of a group twice": (
        "class,t,t=u\nx,u,1\ny,v,0\n",
        "a.csv",
        "upload-refused",
        ["Two attributes are called 't=u'"],
        [],
    ),
    "a word": ("class,a\nx,1\ny,soft\nz,2\n", "a.csv", "upload-refused", ["'soft' where other cells are numbers"], [2]),
    "a dash": ("class,a\nx,1\ny,-\nz,2\n", "a.csv", "upload-refused", ["'-' where", "NA, NaN, null or ?"], [2]),
    "n/a": ("class,a\nx,1\ny,n/a\nz,2\n", "a.csv", "upload-refused", ["'n/a' where"], [2]),
    "maybe": (
        "class,a\nx,yes\ny,maybe\nz,no\n",
        "a.csv",
        "upload-refused",
        ["'maybe' where", "yes or no", "groups"],
        [2],
    ),
    "yes and 3": (
        "class,a\nx,yes\ny,3\nz,4\n",
        "a.csv",
        "upload-refused",
        ["'yes' where other cells are numbers"],
        [1],
    ),
    "infinite": ("class,a\nx,inf\ny,1\nz,-Infinity\n", "a.csv", "upload-refused", ["'inf' is not within"], [1, 3]),
    "too large": ("class,a\nx,1e15\ny,1.1e15\n", "a.csv", "upload-refused", ["'1.1e15' is not within"], [2]),
    "beyond a float": ("class,a\nx,1\ny,1e400\n", "a.csv", "upload-refused", ["'1e400' is not within"], [2]),
    "Python's own spelling": ("class,a\nx,1_000\ny,1\nz,2\n", "a.csv", "upload-refused", ["'1_000' where"], [1]),
    "a comma within": ('class,a\nx,"1,5"\ny,1\nz,2\n', "a.csv", "upload-refused", ["'1,5' where"], [1]),
    "ragged": ("class,a\nx,1\ny,0,7\nz,1\n", "a.csv", "upload-refused", ["row 2", "3 fields"], [2]),
    "an open quote": ('class,a\nx,1\n"y,0\n', "a.csv", "upload-unreadable", ["opens a quote"], [2]),
    "all rows equal": ("class,a,b\nx,1,\ny,1,\n", "a.csv", "upload-refused", ["All 2 classes have the same row"], []),
    "nothing known": (
        "class,a,b\nx,1,0\ny,,NA\nz,0,0\n",
        "a.csv",
        "upload-refused",
        ["Nothing is known of 1", "'y'"],
        [],
    ),
    "numbers first": ("a,b\n1,x\n0,y\n", "a.csv", "upload-refused", ["the first, 'a', holds numbers alone"], [1]),
    "descriptions": (
        "class,text\n" + "".join(f"c{i},it is number {i}\n" for i in range(101)),
        "a.csv",
        "upload-refused",
        ["101 different values, the limit is 100"],
        [1],
    ),
    "a list in JSON": (
        '[{"class": "x", "a": [1]}, {"class": "y", "a": 1}]',
        "a.json",
        "upload-refused",
        ["where other"],
        [1],
    ),
    "JSON of words and numbers": (
        '[{"class": "x", "a": 1}, {"class": "y", "a": "b"}]',
        "a.json",
        "upload-refused",
        ["'b' where other cells are numbers"],
        [2],
    ),
    "latin-1": (b"class,a\ncaf\xe9,1\ny,0\n", "a.csv", "upload-unreadable", ["UTF-8"], []),
    "png": (b"\x89PNG\r\n\x1a\n" + bytes(100), "a.csv", "format-unsupported", ["PNG"], []),
    "npy": (b"\x93NUMPY" + bytes(100), "a.npy", "format-unsupported", ["signatures come as CSV"], []),
}


@pytest.mark.parametrize(("data", "name", "code", "words", "bad"), REFUSED.values(), ids=REFUSED)
def test_files_that_are_refused(read, data, name, code, words, bad):
    with pytest.raises(InputError) as caught:
        read(data, name)
    error = caught.value
    assert error.code == code, error.message
    assert [word for word in words if word not in error.message] == [], error.message
    assert [problem.row for problem in error.problems] == bad
    assert len(error.message) > 40


def test_limits_are_kept(read):
    many = "class,a\n" + "".join(f"c{i},{i}\n" for i in range(12))
    with pytest.raises(InputError, match="more than 10 rows"):
        read(many, limits=Limits(rows=10, columns=5))
    with pytest.raises(InputError, match="the limit is 5"):
        read("class,a,b,c,d,e\nx,1,1,1,1,1\n", limits=Limits(rows=10, columns=5))
    with pytest.raises(InputError, match="201 characters"):
        read(f"class,a\n{'x' * 201},1\ny,0\n")
    with pytest.raises(InputError, match="201 characters"):
        read(f"class,{'a' * 201}\nx,1\ny,0\n")


def test_what_was_decided_is_said(read):
    made = read("class,tail,a,\nx,long,-1,\ny,short,1,\n")
    assert made.notes == (
        "1 column(s) without a name are left out; name them to use them.",
        "Each value became an attribute in the columns of words: 'tail'.",
        "-1 counts as a number, and is the only value below 0 of 'a'; leave cells empty that are not known.",
    )
    assert made.signatures.groups == (("tail", (0, 1)),)
    assert read("class,a\nx,-1\ny,-2\n").notes == ()


def test_a_group_that_is_columns_already(read):
    data = "class,legs=2,legs=4,a\nx,1,0,1\ny,0,1,0\nz,0.5,0.5,1\n"
    assert read(data).signatures.groups == ()
    assert read(data, groups=["legs"]).signatures.groups == (("legs", (0, 1)),)
    with pytest.raises(InputError, match="add up to 2") as caught:
        read(data + "w,1,1,1\n", groups=["legs"])
    assert [problem.row for problem in caught.value.problems] == [4]
    with pytest.raises(InputError, match="A class has one value of a group"):
        read(data + "w,2,-1,1\n", groups=["legs"])
    with pytest.raises(InputError, match="The group 'wings' is no column"):
        read(data, groups=["wings"])


NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=8)
CELLS = st.one_of(st.none(), st.floats(-1e6, 1e6, width=32), st.integers(-9, 9))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_whatever_json_says_is_what_is_read(read, data):
    names = data.draw(st.lists(NAMES, min_size=2, max_size=5, unique=True))
    attributes = data.draw(
        st.lists(
            NAMES.filter(lambda n: n.casefold() not in {"class", "classes", "classname"}),
            min_size=1,
            max_size=4,
            unique=True,
        )
    )
    table = [[data.draw(CELLS) for _ in attributes] for _ in names]
    sent = [{"class": n} | dict(zip(attributes, row, strict=True)) for n, row in zip(names, table, strict=True)]
    try:
        made = read(json.dumps(sent), "a.json")
    except InputError as error:
        assert error.message.startswith(  # noqa: PT017  # what else it may say would be wrong
            ("Nothing is known", "All ", "More than one attribute", "There is", "1 class", "2 classes")
        )
        return
    assert made.signatures.attributes == tuple(normalize("NFC", name) for name in attributes)
    expected = np.array([[np.nan if v is None else v for v in row] for row in table], np.float32)
    np.testing.assert_array_equal(made.signatures.values, expected)
