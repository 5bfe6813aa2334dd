"""Alembic's entry: runs one lineage on the connection that it is given. Knows nothing of where that comes from."""

from alembic import context

from billing.model import Base

options = context.config.attributes
prefix = options["prefix"]


def _of_lineage(name: str | None, kind: str, parents: object) -> bool:
    del parents
    if kind != "table" or name is None:
        return True
    return name.startswith(prefix) if prefix else True


context.configure(
    connection=options["connection"],
    target_metadata=Base.metadata,
    version_table=options["version_table"],
    include_name=_of_lineage,
    render_as_batch=True,
    transactional_ddl=True,
)
context.run_migrations()
