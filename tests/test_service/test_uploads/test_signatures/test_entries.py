"""Classes of a JSON body."""

import numpy as np
import pytest

from adapters.signatures import Signatures
from service.errors import BodyInvalid, UploadTooLarge
from service.uploads.signatures.entries import Entry, attributes_of, texts_of
from service.uploads.signatures.given import InEntries

PLACES = InEntries("classes")


def test_a_sparse_body_is_refused_before_its_table_is_made():
    with pytest.raises(UploadTooLarge):
        attributes_of([Entry(f"c{i}", {f"a{i}": 1}) for i in range(5_000)], PLACES)


def test_mixtures_stand_where_they_were_sent():
    entries = [Entry("m", mixture=[["b", 1], ["a", 1]]), Entry("a", {"x": 1}), Entry("b", {"x": 0})]
    given, mixtures = attributes_of(entries, PLACES)
    assert (given.names, mixtures.order) == (("a", "b"), ("m", "a", "b"))
    mixed = mixtures.into(Signatures(given.names, ("x",), np.array([[1], [0]], np.float32)))
    assert (mixed.classes, mixed.values.tolist()) == (("m", "a", "b"), [[0.5], [1], [0]])


def test_a_mixture_is_blamed_where_it_stands():
    entries = [Entry("a", {"x": 1}), Entry("b/c~", mixture=[["none", 1]])]
    given, mixtures = attributes_of(entries, PLACES)
    with pytest.raises(BodyInvalid, match="names 'none'") as caught:
        mixtures.into(Signatures(given.names, ("x",), np.array([[1]], np.float32)))
    assert [problem.pointer for problem in caught.value.problems] == ["/classes/1/mixture"]


def test_what_texts_say_depends_on_all_of_them():
    def content(*entries, templates=("{}",), space="d"):
        texts, mixtures = texts_of(entries, PLACES)
        return texts.content(templates, space, mixtures)

    base = content(Entry("a", texts=["x"]), Entry("b"))
    others = [
        content(Entry("a", texts=["y"]), Entry("b")),
        content(Entry("b"), Entry("a", texts=["x"])),
        content(Entry("a", texts=["x"]), Entry("b"), templates=("a {}",)),
        content(Entry("a", texts=["x"]), Entry("b"), space="e"),
        content(Entry("a", texts=["x"]), Entry("b"), Entry("m", mixture=[["a", 1]])),
        content(Entry("a", texts=["x"]), Entry("b"), Entry("m", mixture=[["a", 2]])),
    ]
    assert len({base, *others}) == 7
    assert content(Entry(" a ", texts=["x"]), Entry("b")) == base
