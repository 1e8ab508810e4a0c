"""The columns that an answer adds: which, in what order, and never one of the file's own."""

import dataclasses

import pytest

from service.serving.answer_columns import AnswerColumns
from service.serving.facts import Facts


def facts(modality="text", classes=("a", "b", "c")):
    task = "classification" if classes else "regression"
    return Facts("it", 3, "affine", modality, task, "", "", 2, classes, True, (), "truncate", "h" * 64)


PREDICTION = {"id": "pr_1", "label": "b", "probability": 0.7, "top": [["b", 0.7], ["a", 0.2]], "truncated": True}


@pytest.mark.parametrize(
    ("given", "top_k", "names", "cells"),
    [
        (facts(), 2, "label probability label_2 probability_2 truncated adapter warnings", ("b", 0.7, "a", 0.2, True)),
        (
            facts("table", ("a", "b")),
            9,
            "label probability label_2 probability_2 adapter warnings",
            ("b", 0.7, "a", 0.2),
        ),
        (facts("table", ()), 9, "value adapter warnings", (1.5,)),
    ],
)
def test_columns_and_cells(given, top_k, names, cells):
    columns = AnswerColumns.of(given, top_k, ())
    assert columns.names == tuple(names.split())
    answer = PREDICTION if given.classes else {"id": "pr_1", "value": 1.5}
    assert columns.cells(answer, "odd") == (*cells, "it:3", "odd")
    assert columns.cells(None, "none") == (*[None] * (len(columns.names) - 1), "none")


@pytest.mark.parametrize(
    ("top_k", "names", "cells"),
    [
        (1, "labels truncated adapter warnings", (["b", "c"], False)),
        (2, "labels label probability label_2 probability_2 truncated adapter warnings",
         (["b", "c"], "b", 0.7, "c", 0.6, False)),
    ],
)  # fmt: skip
def test_any_number_of_labels_is_one_column(top_k, names, cells):
    columns = AnswerColumns.of(dataclasses.replace(facts(), task="multilabel"), top_k, ())
    assert columns.names == tuple(names.split())
    top = [["b", 0.7], ["c", 0.6], ["a", 0.1]][:top_k]
    answer = {"id": "pr_1", "labels": [["b", 0.7], ["c", 0.6]], "top": top}
    assert columns.cells(answer, "odd") == (*cells, "it:3", "odd")
    assert columns.cells(answer | {"labels": []}, "")[0] == []
    assert columns.cells(None, "none") == (*[None] * (len(columns.names) - 1), "none")


def test_a_text_that_was_not_cut_says_so():
    columns = AnswerColumns.of(facts(), 1, ())
    assert columns.cells({"top": [["a", 1.0]]}, "")[2] is False


def test_names_that_the_file_has_are_left_to_it():
    columns = AnswerColumns.of(facts(), 1, {"label", "predicted_label", "warnings"})
    assert columns.names == (
        "predicted_predicted_label", "probability", "truncated", "adapter", "predicted_warnings",
    )  # fmt: skip
