"""Labels as a matrix in NumPy's files."""

import io

import numpy as np
import pytest

from service.errors import UploadRefused, UploadUnreadable
from service.uploads.limits import Limits

Z = np.arange(12.0).reshape(6, 2)
Y = np.array([[1, 0, 1], [0, 1, 0], [0, 0, 0], [1, 1, 1], [0, 1, 1], [1, 0, 0]])
NAMES = np.array(["sun", "café", "beach"])


def npz(**arrays: object) -> bytes:
    sink = io.BytesIO()
    np.savez(sink, **arrays)
    return sink.getvalue()


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint64, np.float32])
def test_a_column_for_each_class(upload, dtype: type):
    items = upload(npz(embedding=Z, y=Y.astype(dtype), classes=NAMES), "a.npz")
    assert items.task == "multilabel"
    assert items.label_sets[:4] == (("sun", "beach"), ("café",), (), ("sun", "café", "beach"))
    assert items.columns == {"embedding": "embedding", "label": "y"}


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"label": Y}, r"have the shape \(6, 3\), one column a class, and there is no array 'classes'"),
        ({"label": Y, "classes": NAMES[:2]}, r"'classes' has the shape \(2,\); it must hold 3 names"),
        ({"label": Y, "classes": np.arange(3)}, "must hold 3 names as text"),
        ({"label": 2 * Y, "classes": NAMES}, "hold more than 0 and 1"),
        ({"label": np.where(Y, np.nan, 0.0), "classes": NAMES}, "hold more than 0 and 1"),
        ({"label": Y[:5], "classes": NAMES}, r"the labels in 'label' have the shape \(5, 3\)"),
        ({"label": Y[:, :, None], "classes": NAMES}, "must be one label a vector"),
        ({"label": Y * 0, "classes": NAMES}, "None of the 6 rows has a label"),
    ],
)
def test_is_refused_with_the_remedy(upload, arrays: dict[str, np.ndarray], words: str):
    with pytest.raises(UploadRefused, match=words):
        upload(npz(embedding=Z, **arrays), "a.npz")


def test_names_of_what_is_no_character(upload):
    names = np.frombuffer(np.array([0x110000, 97, 98], dtype="<u4").tobytes(), dtype="<U1")
    with pytest.raises(UploadUnreadable, match="not a character"):
        upload(npz(embedding=Z, label=Y, classes=names), "a.npz")


def test_limits(upload):
    with pytest.raises(UploadRefused, match="3 names as text, at most 2"):
        upload(npz(embedding=Z, label=Y, classes=NAMES), "a.npz", limits=Limits(classes=2))
    many = {"label": np.ones((6, 1001), int), "classes": np.array([f"c{at}" for at in range(1001)])}
    with pytest.raises(UploadRefused, match="more than 1000 labels"):
        upload(npz(embedding=Z, **many), "a.npz")
