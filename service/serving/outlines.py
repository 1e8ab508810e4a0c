"""What serving reads of the registry: an adapter's aliases and numbers without its manifests, and one manifest."""

from dataclasses import dataclass

from sqlalchemy import Engine, select

from adapters.manifest import Manifest
from service.database.tables import aliases, versions
from service.errors import NotFound


@dataclass(frozen=True)
class Outline:
    """Where an adapter's aliases point, by alias, and which versions there are, in order."""

    aliases: tuple[tuple[str, int], ...]
    numbers: tuple[int, ...]


def outline(engine: Engine, tenant: str, name: str) -> Outline:
    """An adapter as references see it.

    Raises:
        NotFound: There is none of that name, or it is another tenant's.
    """
    mine = (versions.c.tenant == tenant, versions.c.name == name)
    pointing = select(aliases.c.alias, aliases.c.version).where(aliases.c.tenant == tenant, aliases.c.name == name)
    with engine.begin() as connection:  # one transaction: no alias points to a version that is not there
        numbers = connection.execute(select(versions.c.number).where(*mine).order_by(versions.c.number)).scalars().all()
        pointers = connection.execute(pointing.order_by(aliases.c.alias)).all()
    if not numbers:
        raise NotFound(f"There is no adapter {name!r}; GET /v1/adapters lists those there are.")
    return Outline(tuple((alias, number) for alias, number in pointers), tuple(numbers))


def manifest(engine: Engine, tenant: str, name: str, number: int) -> Manifest:
    """The manifest of one version.

    Raises:
        NotFound: There is no such version.
        ManifestInvalid: This release cannot read it.
    """
    query = select(versions.c.manifest).where(
        versions.c.tenant == tenant, versions.c.name == name, versions.c.number == number
    )
    with engine.begin() as connection:
        found = connection.execute(query).scalar_one_or_none()
    if found is None:
        raise NotFound(f"Adapter {name!r} has no version {number} any more.")
    return Manifest.from_dict(found)
