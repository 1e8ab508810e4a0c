import numpy as np

from adapters.columns import Column, Kind, Rows
from service.uploads.leaks import leak_notes

N = 40
LABELS = ["x" if at % 4 == 0 else "y" for at in range(N)]
AT = np.arange(N)


def notes(labels: list[str] = LABELS, **columns: np.ndarray) -> list[str]:
    words = {name: cells for name, cells in columns.items() if cells.dtype == object}
    numbers = {name: cells for name, cells in columns.items() if cells.dtype != object}
    n = len(labels)
    rows = Rows(
        np.array([cells[:n] for cells in numbers.values()], dtype=np.float64).reshape(-1, n).T,
        np.array([cells[:n] for cells in words.values()], dtype=object).reshape(-1, n).T,
    )
    schema = tuple(Column(name, Kind.CATEGORY if name in words else Kind.NUMBER) for name in columns)
    return leak_notes(schema, rows, labels)


def test_columns_that_determine_the_class_are_named():
    word = np.array(["abcd"[at % 4] for at in AT], dtype=object)
    (note,) = notes(other=AT % 3, code=AT % 4, kind=word, plain=np.array(["a"] * N, dtype=object))
    assert "'code', 'kind'" in note
    assert '"ignore"' in note


def test_missing_values_count_as_a_value():
    (note,) = notes(gap=np.where(AT % 4 == 0, np.nan, 1.0))
    assert "'gap'" in note


def test_one_exception_is_enough_to_be_no_leak():
    code = AT % 4
    code[3] = 0
    assert notes(code=code) == []


def test_columns_of_mostly_different_values_and_few_rows_say_nothing():
    assert notes(identifier=AT) == []
    assert notes(LABELS[:19], code=AT % 4) == []
