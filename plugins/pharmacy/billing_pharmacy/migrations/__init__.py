"""The versions of the pharmacy's tables, for Alembic."""
