"""How Alembic reaches the database.

Over the connection that `adapters.postgres.migrate` hands it.
"""

from alembic import context

from cardmint_cloud.adapters.postgres.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transaction_per_migration=True,
)
with context.begin_transaction():
    context.run_migrations()
