"""Which blobs something points to."""

from sqlalchemy import Engine, select

from service.database.tables import backbones, datasets, jobs, signatures, versions
from service.registry.jobs import CANCELLED, FAILED, UNFINISHED


def digests(engine: Engine) -> set[str]:
    """Digests of datasets' items, of signatures, of versions' files and sources, of what fits and backbones start from.

    What was uploaded for a backbone that was not hosted in the end is let go.
    """
    uploaded = (
        select(backbones.c.blobs)
        .join(jobs, jobs.c.id == backbones.c.job)
        .where(jobs.c.state.not_in((FAILED, CANCELLED)))
    )
    asked = select(jobs.c.request).where(jobs.c.state.in_(UNFINISHED))
    with engine.begin() as connection:
        items = set(connection.execute(select(datasets.c.blob).union(select(signatures.c.blob))).scalars())
        manifests = connection.execute(select(versions.c.manifest)).scalars().all()
        heads = {file["sha256"] for manifest in manifests for file in manifest["files"].values()}
        heads |= {blob for manifest in manifests for blob in manifest.get("request", {}).get("peft", {}).values()}
        heads |= {blob for request in connection.execute(asked).scalars() for blob in request.get("peft", {}).values()}
        return items | heads | {digest for blobs in connection.execute(uploaded).scalars() for digest in blobs}
