"""Whether the service may start as it was told to: an address that others reach needs a key, and keys a pepper."""

import ipaddress

from sqlalchemy import Engine

from service.database.engine import open_engine
from service.registry import keys
from service.serving.keyring import pepper_of
from service.settings import Settings
from service.store.pepper import PepperLost


class Exposed(RuntimeError):
    """The service would answer anybody who reaches it."""


def check_start(host: str, settings: Settings) -> None:
    """Refuse a start that could not go well; for the parent process, before it starts anything.

    Args:
        host: Address that will be listened on.
        settings: The service's.

    Raises:
        SystemExit: Its message says what to do.
    """
    engine = open_engine(settings.database_url)
    try:
        check_exposure(host, locked(engine, settings))
        pepper_of(engine, settings)
    except (Exposed, PepperLost) as refusal:
        raise SystemExit(f"The service does not start. {refusal}") from None
    finally:
        engine.dispose()


def locked(engine: Engine, settings: Settings) -> bool:
    """Whether a key is needed; also before the database has its tables."""
    return settings.bootstrap_key is not None or keys.exist(engine)


def check_exposure(host: str, locked: bool) -> None:
    """Refuse an address that other machines reach as long as nothing is asked of those who call.

    Raises:
        Exposed: Says what to do.
    """
    if locked or is_loopback(host):
        return
    raise Exposed(
        f"{host or 'Every address'} can be reached from other machines, and there are no keys: whoever reaches the "
        "service could use it. Start it on 127.0.0.1, make a key (graft keys create --scopes admin), and start it "
        "again here; or start it with GRAFT_BOOTSTRAP_KEY, an admin key of your own of at least 32 characters."
    )


def is_loopback(host: str) -> bool:
    """Only this machine can reach the address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
