from dataclasses import dataclass
from pathlib import Path

import pytest

from models.base import Backbone, Card
from models.catalog import Entry, entry
from models.hosted import host, open_backbone
from models.sources import Folder
from models.trunks.torchvision_ops import complete

WORDS = ("[UNK]", "card", "lost", "my", "parcel", "where")


def no_progress(_stage: str, _share: float) -> None:
    """Nobody watches."""


@pytest.fixture(scope="session")
def hosted_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which `fake` is hosted. Shared: read it, never write to it."""
    folder = tmp_path_factory.mktemp("backbones")
    host(entry("fake"), folder, no_progress)
    return folder


@pytest.fixture(scope="session")
def fake_card(hosted_folder: Path) -> Card:
    return host(entry("fake"), hosted_folder, no_progress)


@pytest.fixture(scope="session")
def fake(hosted_folder: Path, fake_card: Card) -> Backbone:
    return open_backbone(hosted_folder, fake_card.digest, threads=1)


@dataclass(frozen=True)
class Deep:
    """A tiny BERT that is hosted: read it, never write to it."""

    entry: Entry
    folder: Path
    card: Card


@pytest.fixture(scope="session")
def deep(tmp_path_factory: pytest.TempPathFactory) -> Deep:
    weights, folder = tmp_path_factory.mktemp("weights"), tmp_path_factory.mktemp("deep")
    save_bert(weights)
    entry = Entry("deep", "text", "Apache-2.0", "", Folder(str(weights)))
    return Deep(entry, folder, host(entry, folder, no_progress))


def save_bert(folder: Path) -> None:
    """Weights, configuration and tokenizer."""
    complete()
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32}
    BertModel(BertConfig(vocab_size=5000, max_position_embeddings=24, **sizes)).eval().save_pretrained(folder)
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.save(str(folder / "tokenizer.json"))
