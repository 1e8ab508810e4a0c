import pytest
from pydantic import TypeAdapter, ValidationError

from adapters.errors import MethodUnknown, ParameterInvalid
from adapters.methods import METHODS, AnyMethod, parse_method
from adapters.methods.logistic import Logistic


def test_a_bare_name_is_the_method_with_its_defaults():
    assert parse_method("logistic") == Logistic() == parse_method({"method": "logistic"})


def test_an_unknown_method_is_told_the_known_ones():
    with pytest.raises(MethodUnknown, match=r"auto, blend, .*, ridge, sae") as caught:
        parse_method({"method": "boosting"})
    assert caught.value.problems[0].pointer == "/method"


@pytest.mark.parametrize("value", ["", None, 3, [], {}, {"method": 3}, {"c": 1.0}, {"method": ["logistic"]}])
def test_what_names_no_method_is_refused(value):
    with pytest.raises(MethodUnknown):
        parse_method(value)


@pytest.mark.parametrize(
    ("parameters", "pointer"),
    [
        ({"depth": 3}, "/depth"),
        ({"c": -1.0}, "/c"),
        ({"c": "10"}, "/c"),
        ({"c": float("nan")}, "/c"),
        ({"prior": "parents"}, "/prior"),
        ({"a/b~": 1}, "/a~1b~0"),
    ],
)
def test_a_wrong_parameter_is_pointed_at(parameters, pointer):
    with pytest.raises(ParameterInvalid, match="Its parameters are: c, prior, names_scale, balanced") as caught:
        parse_method({"method": "logistic", **parameters})
    assert [problem.pointer for problem in caught.value.problems] == [pointer]


def test_every_wrong_parameter_is_listed():
    with pytest.raises(ParameterInvalid) as caught:
        parse_method({"method": "ridge", "l2": 0.0, "x": 1, "y": 2})
    assert {problem.pointer for problem in caught.value.problems} == {"/l2", "/x", "/y"}


def test_an_integer_is_a_number():
    assert parse_method({"method": "logistic", "c": 10}) == Logistic(c=10.0)


def test_the_union_tells_methods_apart_and_has_a_schema():
    union = TypeAdapter(AnyMethod)
    assert union.validate_python({"method": "logistic", "c": 2.0}) == Logistic(c=2.0)
    assert set(union.json_schema()["discriminator"]["mapping"]) == set(METHODS)
    with pytest.raises(ValidationError):
        union.validate_python({"method": "ridge", "c": 2.0})
