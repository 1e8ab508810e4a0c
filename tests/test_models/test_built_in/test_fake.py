import numpy as np

from models.built_in.fake import export_fake
from models.catalog import entry


def cosine(backbone, first, second):
    a, b = backbone.run(backbone.prepare([first, second]))
    return float(a @ b)


def test_the_same_bytes_every_time(tmp_path):
    contents = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        export_fake(entry("fake"), tmp_path / name, lambda _stage, _share: None)
        contents.append({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()})
    assert contents[0] == contents[1]
    assert set(contents[0]) == {"pooled.onnx", "tokenizer.json"}


def test_its_digest_is_the_recorded_one(fake_card):
    """Embeddings and fits recorded with `fake` in other tests hold only for these files."""
    assert fake_card.digest == "644a25426a77af9a740d1fedb138c40646bc04188034df3557fe05b257fbaeee"


def test_texts_that_share_words_are_close(fake):
    near = cosine(fake, "I lost my card yesterday", "yesterday I lost a card")
    far = cosine(fake, "I lost my card yesterday", "exchange rates for euros")
    assert near > 0.5 > far + 0.2


def test_case_does_not_matter(fake):
    assert cosine(fake, "LOST Card", "lost card") > 1 - 1e-6


def test_the_order_of_letters_matters(fake):
    assert cosine(fake, "abcd", "dcba") < 0.5


def test_a_nearest_mean_learns_from_few_texts(fake):
    texts = {
        "card": ["my card has not arrived", "where is the card I ordered", "card delivery is late"],
        "rate": ["what is the exchange rate", "exchange rate for dollars", "rates of exchange today"],
    }
    means = np.stack([fake.run(fake.prepare(group)).mean(0) for group in texts.values()])
    questions = fake.run(fake.prepare(["has the card I ordered arrived", "today's dollars exchange rate"]))
    assert (questions @ means.T).argmax(1).tolist() == [0, 1]
