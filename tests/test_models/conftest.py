from pathlib import Path

import pytest

from models.base import Backbone, Card
from models.catalog import entry
from models.hosted import host, open_backbone


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
