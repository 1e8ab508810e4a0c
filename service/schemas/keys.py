"""Keys on the wire."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from service.registry.keys import Key
from service.schemas.answers import iso
from service.serving.references import NAME

Scope = Literal["predict", "fit", "read", "admin"]
Tenant = Annotated[str, StringConstraints(pattern=f"^{NAME}$")]


class KeyRequest(BaseModel):
    """Which key to make (POST /v1/keys)."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    scopes: list[Scope] = Field(min_length=1, max_length=16)
    """What it may do: `predict`; `fit` (with `read`); `read`; `admin` (everything, and managing keys)."""
    tenant: Tenant | None = None
    """Whose calls it makes; the caller's own tenant when left out. Only the operator may name another one."""
    name: Annotated[str, StringConstraints(max_length=100, pattern=r"^[^\x00-\x1f\x7f]*$")] = ""
    """What to call it: who or what has it."""


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class KeyOut(_Answer):
    """A key, without its text."""

    id: str
    """Public; a part of the key's text."""
    tenant: str
    name: str
    scopes: list[Scope]
    created_at: str
    revoked_at: str | None

    @classmethod
    def of(cls, key: Key) -> Self:
        """From the registry."""
        return cls.model_validate(_fields(key))


class KeyMade(KeyOut):
    """A new key."""

    key: str
    """The text to send as a bearer token. It is shown this once and stored nowhere."""

    @classmethod
    def with_text(cls, key: Key, text: str) -> Self:
        """From the registry, with the text."""
        return cls.model_validate(_fields(key) | {"key": text})


def _fields(key: Key) -> dict[str, object]:
    return {
        "id": key.id,
        "tenant": key.tenant,
        "name": key.name,
        "scopes": list(key.scopes),
        "created_at": iso(key.created_at),
        "revoked_at": None if key.revoked_at is None else iso(key.revoked_at),
    }
