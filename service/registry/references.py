"""Which blobs something points to."""

from sqlalchemy import Engine, select

from service.database.tables import datasets, versions


def digests(engine: Engine) -> set[str]:
    """Digests of every dataset's items and of every version's files."""
    with engine.begin() as connection:
        items = set(connection.execute(select(datasets.c.blob)).scalars())
        manifests = connection.execute(select(versions.c.manifest)).scalars()
        return items | {file["sha256"] for manifest in manifests for file in manifest["files"].values()}
