import numpy as np
import pytest

from models.catalog import Entry, Options
from models.errors import SourceRefused
from models.hosted import host, open_backbone
from models.sources import Words
from models.word_vectors.files import read_word_vectors

WORDS = ["the", "cat", "sat", ",", "straße", "don"]
RNG = np.random.default_rng(0)
TABLE = RNG.standard_normal((len(WORDS), 5)).astype(np.float32)


def binary(words=WORDS, table=TABLE, rows=None, newline=b"\n"):
    head = f"{len(words) if rows is None else rows} {table.shape[1]}\n".encode()
    return head + b"".join(
        w.encode() + b" " + v.astype("<f4").tobytes() + newline for w, v in zip(words, table, strict=True)
    )


def lines(words=WORDS, table=TABLE, end="\n"):
    return "".join(
        f"{w} {' '.join(repr(float(x)) for x in v)}{end}" for w, v in zip(words, table, strict=True)
    ).encode()


def text(words=WORDS, table=TABLE, rows=None):
    return f"{len(words) if rows is None else rows} {table.shape[1]}\n".encode() + lines(words, table)


GOOD = {
    "word2vec-binary": binary(),
    "word2vec-text": text(),
    "glove": lines(),
}


@pytest.fixture
def written(tmp_path):
    def write(content):
        path = tmp_path / "vectors"
        path.write_bytes(content)
        return path

    return write


@pytest.fixture
def made(written, tmp_path):
    """A backbone of a file."""

    def make(content=GOOD["glove"], format_="glove", **options):
        source = Words(str(written(content)), format_)
        entry = Entry("mine", "text", "MIT", "of a test", source, Options(**options))
        card = host(entry, tmp_path / "backbones", lambda _stage, _share: None, pointer=False)
        return open_backbone(tmp_path / "backbones", card.digest, threads=1)

    return make


def embed(backbone, *texts):
    return backbone.run(backbone.prepare(texts))


def unit(v):
    return v / np.linalg.norm(v)


def rows(*words):
    return TABLE[[WORDS.index(word) for word in words]]


@pytest.mark.parametrize("format_", GOOD)
def test_every_format_gives_the_same_table(written, format_):
    shares = []
    vectors = read_word_vectors(written(GOOD[format_]), format_, shares.append)
    assert vectors.words == WORDS
    np.testing.assert_array_equal(vectors.table, TABLE)
    assert (vectors.left_out, shares[-1]) == (0, 1.0)


@pytest.mark.parametrize(
    ("content", "format_"),
    [(binary(newline=b""), "word2vec-binary"), (lines(end=" \r\n"), "glove"), (lines().rstrip(), "glove")],
    ids=["no newlines", "trailing space", "no last newline"],
)
def test_other_writers_of_the_formats_are_read(written, content, format_):
    vectors = read_word_vectors(written(content), format_, lambda _: None)
    assert vectors.words == WORDS
    np.testing.assert_array_equal(vectors.table, TABLE)


def test_a_word_with_spaces_is_no_ragged_row(written):
    vectors = read_word_vectors(written(lines(["a b", "c"], TABLE[:2])), "glove", lambda _: None)
    assert vectors.table.shape == (2, 5)
    np.testing.assert_array_equal(vectors.table, TABLE[:2])


def test_only_the_first_rows_that_fit_are_kept(written):
    for format_, content in GOOD.items():
        vectors = read_word_vectors(written(content), format_, lambda _: None, most_bytes=4 * 5 * 2)
        assert vectors.words == WORDS[:2]
        assert vectors.left_out == (4 if format_ != "glove" else vectors.left_out)


def test_repeated_and_undecodable_words_are_left_out(written):
    content = lines(["a", "a", "b"], TABLE[:3]) + b"\xff\xfe" + lines(["x"], TABLE[:1])[1:]
    vectors = read_word_vectors(written(content), "glove", lambda _: None)
    assert (vectors.words, vectors.left_out) == (["a", "b"], 2)
    np.testing.assert_array_equal(vectors.table, TABLE[[0, 2]])


def with_nan(format_):
    table = TABLE.copy()
    table[3, 2] = np.nan
    return binary(table=table) if format_ == "word2vec-binary" else text(table=table)


@pytest.mark.parametrize(
    ("content", "format_", "sentence"),
    [
        (b"", "glove", "is empty"),
        (GOOD["word2vec-binary"][:-10], "word2vec-binary", "breaks off in row 6 of 6"),
        (binary(rows=7), "word2vec-binary", "row 7 of 7"),
        (binary(rows=5), "word2vec-binary", "goes on after the 5 rows"),
        (text(rows=7), "word2vec-text", "holds 7 words, but 6 were found"),
        (text(rows=5), "word2vec-text", "holds 5 words, but 6 were found"),
        (with_nan("word2vec-binary"), "word2vec-binary", "not finite"),
        (with_nan("word2vec-text"), "word2vec-text", "not finite"),
        (lines() + b"odd 1 2\n", "glove", "Row 7 of .* the 5 numbers"),
        (lines() + b"odd 1 2 3 4 x\n", "glove", "Row 7 of .* the 5 numbers"),
        (b"one 1 2 3\ntwo 1 2\nthree 1 2 3 4\n", "glove", "Row 2 of .* the 3 numbers"),
        (GOOD["glove"], "word2vec-text", "does not begin with a line of two counts"),
        (GOOD["word2vec-text"], "glove", "may be word2vec-text"),
        (b"6 0\n", "word2vec-binary", "6 words of 0 numbers"),
        (b"0 5\n", "word2vec-text", "no words of 5 numbers"),
        (b"6 99999\n", "word2vec-binary", "1 to 4096 numbers"),
        (b"\xff 1 2\n", "glove", "holds no word"),
    ],
)
def test_broken_files_are_refused_with_a_sentence(written, content, format_, sentence):
    with pytest.raises(SourceRefused, match=sentence):
        read_word_vectors(written(content), format_, lambda _: None)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(SourceRefused, match="is not a file"):
        read_word_vectors(tmp_path, "glove", lambda _: None)


def test_a_text_is_the_mean_of_its_known_words(made):
    z = embed(made(), "The cat, sat", "cat unheard cat", "Straße")
    np.testing.assert_allclose(z[0], unit(rows("the", "cat", ",", "sat").mean(0)), atol=1e-6)
    np.testing.assert_allclose(z[1], unit(rows("cat")[0]), atol=1e-6)
    np.testing.assert_allclose(z[2], unit(rows("straße")[0]), atol=1e-6)


@pytest.mark.parametrize("nothing", ["", "unheard words only", "\0", "   "])
def test_a_text_without_known_words_is_the_zero_vector(made, nothing):
    backbone = made()
    assert not embed(backbone, nothing).any()
    np.testing.assert_array_equal(embed(backbone, nothing, "the cat")[1:], embed(backbone, "the cat"))


def test_case_is_kept_where_the_file_has_it(made):
    backbone = made(lines(["Paris", "paris"], TABLE[:2]))
    np.testing.assert_allclose(embed(backbone, "Paris", "paris"), [unit(v) for v in TABLE[:2]], atol=1e-6)
    assert backbone.card.recipe["case"] == "as in the text"


def test_unnormalised_where_asked(made):
    np.testing.assert_allclose(embed(made(normalise=False), "the cat")[0], rows("the", "cat").mean(0), atol=1e-6)


def test_a_long_text_is_cut_and_says_so(made):
    backbone = made(max_tokens=3)
    [item] = backbone.prepare(["cat sat the the"])
    assert item.cut
    np.testing.assert_allclose(backbone.run([item])[0], unit(rows("cat", "sat").mean(0)), atol=1e-6)


def test_the_card_says_what_is_kept(made):
    card = made(GOOD["word2vec-binary"], "word2vec-binary").card
    assert (card.taps, card.max_tokens, card.modality) == ({"pooled": (5,)}, 512, "text")
    assert (card.recipe["words"], card.recipe["words_left_out"], card.recipe["normalisation"]) == (6, 0, "L2")
