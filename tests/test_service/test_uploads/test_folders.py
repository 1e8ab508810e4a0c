import pytest

from service.uploads.folders import top_of


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["cats/1", "dogs/1"], 0),
        (["data/cats/1", "data/dogs/1"], 1),
        (["a/b/c/cats/1", "a/b/c/dogs/1"], 3),
        (["data/cats/1", "data/loose"], 1),
        (["data/cats/1", "loose"], 0),
        (["cats/1", "cats/2"], 0),
        (["data/cats/1", "data/cats/2"], 1),
        (["cats/indoor/1", "dogs/1"], 0),
        (["1", "2"], 0),
    ],
)
def test_the_folders_around_all(paths, expected):
    assert top_of([tuple(path.split("/")) for path in paths]) == expected
