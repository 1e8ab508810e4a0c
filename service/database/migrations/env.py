"""Alembic's entry point: online only, on the engine that the service itself opens."""

from alembic import context

from service.database.engine import open_engine
from service.database.tables import metadata

engine = open_engine(context.config.attributes["url"])
with engine.connect() as connection:
    context.configure(connection=connection, target_metadata=metadata, render_as_batch=True, compare_type=True)
    with context.begin_transaction():
        context.run_migrations()
engine.dispose()
