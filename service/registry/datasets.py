"""Datasets in the registry: facts in SQL, items in a blob (`items`)."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, Row, delete, func, insert, select

from service.database.engine import writing
from service.database.tables import datasets
from service.errors import NotFound
from service.registry import requests
from service.registry.jobs import refuse_if_asked
from service.registry.paging import Page, page_of
from service.store.blobs import Blobs


@dataclass(frozen=True)
class Dataset:
    """An uploaded dataset.

    Attributes:
        id: ``ds_...``.
        tenant: Who it belongs to.
        name: Given by its owner, or the file's name.
        fingerprint: sha256 over the file and the options it was read with: the same upload twice is one dataset.
        sha256: Of the file as it came.
        blob: Digest of the items.
        facts: modality, items, classes, size_bytes, format, columns, quality, problems.
        created_at: Seconds since the epoch.
    """

    id: str
    tenant: str
    name: str
    fingerprint: str
    sha256: str
    blob: str
    facts: dict[str, Any]
    created_at: float


def _dataset(row: Row[Any]) -> Dataset:
    return Dataset(**row._mapping)


def add(engine: Engine, dataset: Dataset, key: requests.Key | None = None) -> tuple[Dataset, bool]:
    """Register a dataset; one with the same fingerprint is returned instead. Says whether it is new."""
    with writing(engine) as connection:
        same = connection.execute(
            select(datasets).where(datasets.c.tenant == dataset.tenant, datasets.c.fingerprint == dataset.fingerprint)
        ).one_or_none()
        if same is None:
            connection.execute(insert(datasets).values(**vars(dataset)))
        kept = dataset if same is None else _dataset(same)
        if key is not None:
            requests.remember(connection, key, kept.id)
        return kept, same is None


def get(engine: Engine, tenant: str, dataset_id: str) -> Dataset:
    """One dataset.

    Raises:
        NotFound: There is none of that id, or it is another tenant's.
    """
    query = select(datasets).where(datasets.c.tenant == tenant, datasets.c.id == dataset_id)
    with engine.begin() as connection:
        row = connection.execute(query).one_or_none()
    if row is None:
        raise NotFound(f"There is no dataset {dataset_id!r}; GET /v1/datasets lists those there are.")
    return _dataset(row)


def page(engine: Engine, tenant: str, *, limit: int, after: str | None) -> Page[Dataset]:
    """Datasets of a tenant, newest first."""
    query = select(datasets).where(datasets.c.tenant == tenant).order_by(datasets.c.id.desc()).limit(limit + 1)
    if after is not None:
        query = query.where(datasets.c.id < after)
    with engine.begin() as connection:
        return page_of([_dataset(row) for row in connection.execute(query)], limit)


def remove(engine: Engine, blobs: Blobs, tenant: str, dataset_id: str) -> None:
    """Delete a dataset and its items. Versions fitted on it stay.

    Raises:
        NotFound: There is none of that id.
        Conflict: A job that has not ended needs it.
    """
    dataset = get(engine, tenant, dataset_id)
    with writing(engine) as connection:
        refuse_if_asked(connection, tenant, "dataset", dataset.id, f"Dataset {dataset.id} is")
        connection.execute(delete(datasets).where(datasets.c.id == dataset_id))
        requests.forget_resource(connection, dataset_id)
        shared = connection.execute(
            select(func.count()).select_from(datasets).where(datasets.c.blob == dataset.blob)
        ).scalar_one()
        if not shared:
            blobs.delete(dataset.blob)
