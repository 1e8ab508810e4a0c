"""Every kind of adapter over HTTP: what is answered is what was published, on a backbone with taps inside."""

import dataclasses
import io
import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from onnx import numpy_helper, parser

from adapters.heads import AffineHead, MappedHead, NetworkHead, tables_bytes
from adapters.manifest import FileEntry
from adapters.maps import FourierMap
from models.catalog import entry
from models.durable import replace_file
from models.hosted import host, open_backbone, read_card
from models.weights import sha256_file
from service.registry import publishing

TEXTS = ["my parcel is late", "refund", "", "where is the money that I paid for the parcel"]
CLASSES = ("a", "b", "c")
WIDTH = 8
RNG = np.random.default_rng(0)
TABLE = RNG.normal(size=(300, WIDTH)).astype(np.float32)
WEIGHT = RNG.normal(size=(WIDTH, 3)).astype(np.float32)

MEAN = """
  two = Constant <value_ints = [2]> ()
  one = Constant <value_ints = [1]> ()
  weights = Cast <to = 1> (attention_mask)
  wide = Unsqueeze (weights, two)
  kept = Mul (hidden_states, wide)
  total = ReduceSum <keepdims = 0> (kept, one)
  count = ReduceSum <keepdims = 1> (weights, one)
  mean = Div (total, count)
"""
TOKENS = "int64[batch, tokens] input_ids, int64[batch, tokens] attention_mask"
STATES = f"float[batch, tokens, {WIDTH}] hidden_states"
LOOK_UP = "  hidden_states = Gather (table, input_ids)\n"
SOFTMAX = "  scores = MatMul (mean, weight)\n  probabilities = Softmax <axis = -1> (scores)\n"
SIGMOID = "  scores = MatMul (mean, weight)\n  probabilities = Sigmoid (scores)\n"
VALUE = "  value = MatMul (mean, weight)\n"


def graph(inputs, output, body, **constants):
    made = parser.parse_model(f'<ir_version: 10, opset_import: ["": 20]>\ng ({inputs}) => ({output})\n{{\n{body}}}')
    for name, value in constants.items():
        made.graph.initializer.append(numpy_helper.from_array(value, name))
    return made.SerializeToString()


BLOCK = graph(TOKENS, STATES, LOOK_UP, table=TABLE)
BLOCKS = graph(
    TOKENS,
    f"float[batch, {2 * WIDTH}] sentence_embedding",
    LOOK_UP + MEAN + "  double = Add (mean, mean)\n  sentence_embedding = Concat <axis = 1> (mean, double)\n",
    table=TABLE,
)
OF_STATES = f"{STATES}, int64[batch, tokens] attention_mask"


def tail(answer=SOFTMAX, inputs=OF_STATES, before="", output="float[batch, k] probabilities", **more):
    return graph(inputs, output, before + MEAN + answer, weight=WEIGHT, **more)


@pytest.fixture(scope="module")
def backbones_dir(tmp_path_factory):
    """The fake backbone with two more taps, as they are added to one that is hosted."""
    folder = tmp_path_factory.mktemp("tapped")
    card = host(entry("fake"), folder, lambda stage, share: None)
    home = folder / card.digest
    added = {"block1": (BLOCK, (-1, WIDTH)), "blocks": (BLOCKS, (2 * WIDTH,))}
    for name, (data, _) in added.items():
        (home / f"{name}.onnx").write_bytes(data)
    replace_file(
        home / "card.json",
        dataclasses.asdict(
            dataclasses.replace(
                card,
                taps=card.taps | {name: shape for name, (_, shape) in added.items()},
                extras={f"{name}.onnx": sha256_file(home / f"{name}.onnx") for name in added},
                parts={"block1": WIDTH, "pooled": WIDTH},
            )
        ),
    )
    return folder


@pytest.fixture(scope="module")
def backbone(backbones_dir):
    (folder,) = [path for path in backbones_dir.iterdir() if path.is_dir()]
    return open_backbone(backbones_dir, read_card(folder).digest, threads=1)


@pytest.fixture
def publish(service, records, backbone):
    """Publishes versions with these files, on the fake backbone unless they say otherwise."""
    made = type(records)(service.state.engine, service.state.home, service.state.blobs)

    def publish(name="it", files=None, **fields):
        blobs = {file: service.state.blobs.put(data) for file, data in files.items()}
        fields = {
            "backbone_digest": backbone.card.digest,
            "classes": CLASSES,
            "files": {file: FileEntry(blob.digest, blob.size_bytes) for file, blob in blobs.items()},
        } | fields
        draft = made.draft(made.running_job(adapter=name))
        published = dataclasses.replace(draft, manifest=lambda n: dataclasses.replace(draft.manifest(n), **fields))
        return publishing.publish(service.state.engine, service.state.home, published, 3.0)

    return publish


def softmax(scores):
    exponentials = np.exp(scores.astype(np.float64))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def sigmoid(scores):
    return 1 / (1 + np.exp(-scores.astype(np.float64)))


def embeddings(backbone, texts=TEXTS):
    return backbone.run(backbone.prepare(texts))


def means(backbone, texts=TEXTS):
    """What the blocks make of texts, over tokens."""
    return np.stack([TABLE[item.values].mean(axis=0) for item in backbone.prepare(texts)])


def shares(answer):
    """(n, k) probabilities of an answer, in the order of the classes."""
    assert answer.status_code == 200, answer.text
    return np.array([[dict(map(tuple, one["top"]))[name] for name in CLASSES] for one in answer.json()["predictions"]])


def head(width, k=3, **more):
    rng = np.random.default_rng(1)
    weight, bias = rng.normal(size=(k, width)).astype(np.float32), rng.normal(size=k).astype(np.float32)
    return AffineHead(weight, bias, CLASSES if k > 1 else (), **more)


class TestSeveralLabels:
    THRESHOLDS = (0.5, 0.9, 0.0)

    @pytest.fixture
    def given(self, publish):
        given = head(64, multilabel=True)
        publish(
            files={"head.safetensors": tables_bytes(given, 0.5)},
            task="multilabel",
            thresholds=self.THRESHOLDS,
            width=64,
        )
        return given

    def test_those_that_reach_their_thresholds_are_listed_best_first(self, service, given, backbone):
        answer = service.predict("it", *TEXTS, top_k=2)
        expected = sigmoid(given.scores(embeddings(backbone)) / 0.5)
        for one, row in zip(answer.json()["predictions"], expected, strict=True):
            assert set(one) == {"id", "labels", "top"}
            order = np.argsort(-row)
            reached = [i for i in order if row[i] >= self.THRESHOLDS[i]]
            assert [name for name, _ in one["labels"]] == [CLASSES[i] for i in reached]
            np.testing.assert_allclose([p for _, p in one["labels"]], row[reached], atol=1e-6)
            assert [name for name, _ in one["top"]] == [CLASSES[i] for i in order[:2]]
        assert answer.json()["calibrated"] is True

    def test_the_version_shows_how_it_is_served(self, service, given):
        version = service.client.get("/v1/adapters/it/versions/1").json()
        assert version["task"] == "multilabel"
        assert version["thresholds"] == list(self.THRESHOLDS)
        assert (version["kind"], version["tap"], version["parts"], version["parents"]) == ("affine", "pooled", [], [])

    def _file(self, service, data, media, **query):
        answer = service.client.post(
            "/v1/adapters/it/predict", content=data, headers={"Content-Type": media}, params=query
        )
        assert answer.status_code == 200, answer.text
        return answer.content

    def _labels(self, service):
        return [[name for name, _ in one["labels"]] for one in service.predict("it", *TEXTS).json()["predictions"]]

    def test_a_csv_file_joins_them(self, service, given):
        lines = "text\n" + "".join(f'"{text}"\n' for text in TEXTS)
        answer = self._file(service, lines, "text/csv").decode().splitlines()
        labels = self._labels(service)
        assert answer[0] == "text,labels,truncated,adapter,warnings"
        assert max(map(len, labels)) > 1
        assert [line.split(",")[1] for line in answer[1:3]] == ["|".join(own) for own in labels[:2]]
        assert answer[3] == ",,,,No answer: the text is blank"

    def test_json_and_parquet_files_have_lists(self, service, given, tmp_path):
        import pyarrow as pa

        labels = self._labels(service)
        rows = "".join(json.dumps({"text": text}) + "\n" for text in TEXTS if text)
        lines = self._file(service, rows, "application/jsonl", top_k=2).decode().splitlines()
        (first, *_) = answers = [json.loads(line) for line in lines]
        assert [one["labels"] for one in answers] == [own for own, text in zip(labels, TEXTS, strict=True) if text]
        assert list(first) == [
            "text", "labels", "label", "probability", "label_2", "probability_2", "truncated", "adapter", "warnings",
        ]  # fmt: skip
        pq.write_table(pa.table({"text": ["refund", None]}), tmp_path / "rows.parquet")
        sent = (tmp_path / "rows.parquet").read_bytes()
        table = pq.read_table(io.BytesIO(self._file(service, sent, "application/vnd.apache.parquet")))
        assert table.column("labels").type == pa.list_(pa.string())
        assert table.column("labels").to_pylist() == [labels[1], None]


class TestMaps:
    MAP = FourierMap.draw(64, 32, 1.0)

    def files(self, **more):
        own = MappedHead(self.MAP, head(32, **more))
        return own, {"head.safetensors": tables_bytes(own.head, 2.0)} | own.files()

    def test_a_head_on_a_map_answers_what_it_scores(self, service, publish, backbone):
        given, files = self.files()
        publish(files=files, width=64)
        answer = shares(service.predict("it", *TEXTS, top_k=3))
        np.testing.assert_allclose(answer, softmax(given.scores(embeddings(backbone)) / 2), atol=1e-6)

    def test_several_labels_and_many_inputs(self, service, publish, backbone):
        given, files = self.files(multilabel=True)
        publish(files=files, width=64, task="multilabel", thresholds=(0.5, 0.5, 0.5))
        texts = [f"text {i}" for i in range(40)]
        answer = shares(service.predict("it", *texts, top_k=3))
        np.testing.assert_allclose(answer, sigmoid(given.scores(embeddings(backbone, texts)) / 2), atol=1e-6)

    def test_vectors_and_values(self, service, publish):
        own = MappedHead(self.MAP, head(32, k=1))
        publish(
            files={"head.safetensors": tables_bytes(own.head, 1.0)} | own.files(),
            modality="vector",
            backbone="",
            backbone_digest="",
            tap="vector",
            width=64,
            task="regression",
            classes=(),
        )
        z = RNG.normal(size=(3, 64)).astype(np.float32)
        answer = service.predict("it", *({"embedding": row.tolist()} for row in z)).json()["predictions"]
        np.testing.assert_allclose([one["value"] for one in answer], own.scores(z)[:, 0], atol=1e-5)

    def test_adapters_with_one_map_hold_it_once(self, service, publish):
        publish(name="one", files=self.files()[1], width=64)
        publish(name="two", files={**self.files()[1], "head.safetensors": tables_bytes(head(32), 1.0)}, width=64)
        for name in ("one", "two", "one"):
            shares(service.predict(name, *TEXTS, top_k=3))
        assert len(service.state.directory._maps) == 1


class TestBlocks:
    def test_a_head_takes_its_parts_of_all_blocks(self, service, publish, backbone):
        given = head(6)
        publish(files={"head.safetensors": tables_bytes(given, 1.0)}, tap="blocks", width=6, parts=((2, 6), (8, 10)))
        z = means(backbone)
        taken = np.concatenate([z[:, 2:6], 2 * z[:, 0:2]], axis=1)
        for _ in range(2):  # the second time as they are remembered
            answer = shares(service.predict("it", *TEXTS, top_k=3))
            np.testing.assert_allclose(answer, softmax(given.scores(taken)), atol=1e-6)

    def test_the_pooled_embedding_is_another_one(self, service, publish, backbone):
        given, pooled = head(2 * WIDTH), head(64)
        publish(name="blocks", files={"head.safetensors": tables_bytes(given, 1.0)}, tap="blocks", width=2 * WIDTH)
        publish(name="pooled", files={"head.safetensors": tables_bytes(pooled, 1.0)}, width=64)
        z = means(backbone)
        for _ in range(2):
            answer = shares(service.predict("blocks", *TEXTS, top_k=3))
            np.testing.assert_allclose(answer, softmax(given.scores(np.concatenate([z, 2 * z], axis=1))), atol=1e-6)
            answer = shares(service.predict("pooled", *TEXTS, top_k=3))
            np.testing.assert_allclose(answer, softmax(pooled.scores(embeddings(backbone))), atol=1e-6)


class TestTuned:
    @pytest.mark.parametrize(
        ("tap", "data"),
        [
            ("block1", tail()),
            ("input", tail(inputs=TOKENS, before=LOOK_UP, table=TABLE)),
        ],
        ids=["behind a block", "all of it"],
    )
    def test_it_answers_from_where_it_begins(self, service, publish, backbone, tap, data):
        publish(files={"head.onnx": data}, kind="graph", tap=tap, width=64)
        texts = [*TEXTS, *(f"{'more and ' * (i % 5)}text {i}" for i in range(40))]
        answer = shares(service.predict("it", *texts, top_k=3))
        np.testing.assert_allclose(answer, softmax(means(backbone, texts) @ WEIGHT), atol=1e-6)
        alone = shares(service.predict("it", texts[3], top_k=3))
        np.testing.assert_allclose(alone[0], answer[3], atol=1e-6)

    def test_several_labels(self, service, publish, backbone):
        publish(
            files={"head.onnx": tail(SIGMOID)}, kind="graph", tap="block1", task="multilabel", thresholds=(0.5,) * 3
        )
        expected = sigmoid(means(backbone) @ WEIGHT)
        for one, row in zip(service.predict("it", *TEXTS).json()["predictions"], expected, strict=True):
            assert {name for name, _ in one["labels"]} == {CLASSES[i] for i in np.flatnonzero(row >= 0.5)}

    def test_values(self, service, publish, backbone):
        data = graph(OF_STATES, "float[batch, 1] value", MEAN + VALUE, weight=WEIGHT[:, :1])
        publish(files={"head.onnx": data}, kind="graph", tap="block1", task="regression", classes=())
        answer = service.predict("it", *TEXTS).json()
        np.testing.assert_allclose(
            [one["value"] for one in answer["predictions"]], (means(backbone) @ WEIGHT)[:, 0], atol=1e-5
        )
        assert answer["calibrated"] is None

    def test_adapters_share_a_trunk(self, service, publish):
        publish(name="one", files={"head.onnx": tail()}, kind="graph", tap="block1")
        publish(name="two", files={"head.onnx": tail(SIGMOID)}, kind="graph", tap="block1")
        for name in ("one", "two"):
            shares(service.predict(name, *TEXTS, top_k=3))
        assert len(service.state.backbones._trunks) == 1

    def test_long_texts_are_cut_and_not_taken_in_pieces(self, service, publish):
        publish(files={"head.onnx": tail()}, kind="graph", tap="block1")
        short, long = service.predict("it", "short", "long " * 50, long="truncate").json()["predictions"]
        assert "truncated" not in short
        assert long["truncated"] is True
        refused = service.predict("it", "short", long="chunk")
        assert refused.status_code == 422
        assert refused.json()["errors"][0]["pointer"] == "/long"
        assert "part of its backbone" in refused.json()["detail"]

    def test_inputs_that_are_none_are_pointed_at(self, service, publish):
        publish(files={"head.onnx": tail()}, kind="graph", tap="block1")
        refused = service.predict("it", "text", {"image": "AAAA"})
        assert refused.status_code == 422
        assert refused.json()["errors"][0]["pointer"] == "/inputs/1"

    def test_a_file_of_rows(self, service, publish):
        publish(files={"head.onnx": tail()}, kind="graph", tap="block1")
        answer = service.client.post(
            "/v1/adapters/it/predict", content="text\nrefund\nparcel\n", headers={"Content-Type": "text/csv"}
        )
        own = service.predict("it", "refund", "parcel").json()["predictions"]
        assert [line.split(",")[1] for line in answer.text.splitlines()[1:]] == [one["label"] for one in own]
        refused = service.client.post(
            "/v1/adapters/it/predict?long=chunk", content="text\nrefund\n", headers={"Content-Type": "text/csv"}
        )
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/long")

    def test_a_tap_that_is_not_here_is_waited_for(self, service, publish):
        publish(files={"head.onnx": tail()}, kind="graph", tap="block7")
        answer = service.predict("it", "text")
        assert answer.status_code == 503
        assert "has no tap 'block7' here" in answer.json()["detail"]


class TestOnEmbeddings:
    def test_a_network_answers_what_it_scores(self, service, publish, backbone):
        rng = np.random.default_rng(2)
        weight, bias = rng.normal(size=(5, 64)).astype(np.float32), rng.normal(size=5).astype(np.float32)
        given = NetworkHead(weight, bias, "relu", head(5))
        publish(files={"head.onnx": given.onnx(2.0)} | given.files(), kind="graph", width=64)
        answer = shares(service.predict("it", *TEXTS, top_k=3))
        np.testing.assert_allclose(answer, softmax(given.scores(embeddings(backbone)) / 2), atol=1e-6)

    def test_texts_are_given_values(self, service, publish, backbone):
        given = head(64, k=1)
        publish(files={"head.safetensors": tables_bytes(given, 1.0)}, width=64, task="regression", classes=())
        answer = service.predict("it", *TEXTS).json()["predictions"]
        np.testing.assert_allclose(
            [one["value"] for one in answer], given.scores(embeddings(backbone))[:, 0], atol=1e-5
        )
        assert set(answer[0]) == {"id", "value"}
