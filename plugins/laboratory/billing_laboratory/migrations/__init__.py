"""The laboratory's Alembic versions, one lineage of its own."""
