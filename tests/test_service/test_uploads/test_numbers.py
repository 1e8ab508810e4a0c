import pytest

from service.uploads.numbers import has_decimal_commas, with_point


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["3,14", "2"], True),
        (["-1.234.567,5", " 0,5 ", ",5", "1,5e-3", "", "NA"], True),
        (["1", "1.000", ""], None),
        ([], None),
        (["3,14", "x"], False),
        (["3,14", "2.5"], False),
        (["1,234,567"], False),
        (["3,14", None], False),
        (["3,14", 2.5], False),
    ],
)
def test_a_column_of_decimal_commas(cells: list[object], expected: bool | None):
    assert has_decimal_commas(cells) is expected


@pytest.mark.parametrize(
    ("cell", "expected"),
    [("3,14", "3.14"), ("-1.234,5", "-1234.5"), ("1.000", "1000"), ("NA", "NA"), ("2.5", "2.5"), (None, None), (3, 3)],
)
def test_numbers_get_a_point(cell: object, expected: object):
    assert with_point(cell) == expected
