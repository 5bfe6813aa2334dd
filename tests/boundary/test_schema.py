"""The tables: rules that a cluster needs, migrations that make exactly them, and a scope that no statement escapes."""

from collections.abc import Iterator

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import ForeignKeyConstraint, MetaData, Text, UniqueConstraint, inspect, select, text
from sqlalchemy.orm import Mapped, aliased, mapped_column

from billing import migrations, registry
from billing.engine import open_engine
from billing.errors import PluginViolation
from billing.migrations import MigrationMissing
from billing.model import CLINIC, Base, Invoice, InvoiceItem, Patient, TableClass
from billing.model.lint import schema_problems
from billing.model.scoping import UnscopedStatement, require_scoped
from billing.settings import Settings
from billing.testing.world import World

SHIPPED = registry.load()


def test_every_table_of_core_and_shipped_plugins_keeps_the_schema_rules() -> None:
    own = {table for plugin in SHIPPED.plugins for table in plugin.tables}
    core = {table for table in Base.metadata.tables.values() if table.name in _core_tables()}

    assert schema_problems(own | core) == []
    assert len(own) > 10


def _core_tables() -> set[str]:
    plugins = [plugin.name for plugin in SHIPPED.plugins] + ["shelf", "bad"]
    return {name for name in Base.metadata.tables if not any(name.startswith(f"{plugin}_") for plugin in plugins)}


def test_bad_tables_are_named_with_what_is_wrong() -> None:
    class Bad(Base):
        __tablename__ = "bad_table"
        __table_args__ = (
            UniqueConstraint("name", name="uq_bad_table_name"),
            ForeignKeyConstraint(["patient"], ["patient.id"], ondelete="SET NULL", name="fk_" + "x" * 60),
        )
        table_class = TableClass.CLINIC
        id: Mapped[str] = mapped_column(Text, primary_key=True)
        name: Mapped[str] = mapped_column(Text)
        patient: Mapped[str] = mapped_column(Text)

    found = " ".join(schema_problems([Bad.__table__]))  # type: ignore[list-item]
    Base.metadata.remove(Bad.__table__)  # type: ignore[arg-type]
    Base.registry._dispose_cls(Bad)  # noqa: SLF001 - the class must not stay with the shipped ones

    for part in (
        "does not begin with clinic_id",
        "unique over all clinics",
        "without naming the clinic",
        "only RESTRICT",
        "longer than 50",
    ):
        assert part in found


def test_upgrade_from_empty_equals_the_metadata(empty_database_url: str) -> None:
    migrations.upgrade(empty_database_url, registry=SHIPPED)

    engine = open_engine(empty_database_url, Settings())
    wanted = MetaData(naming_convention=Base.metadata.naming_convention)
    own = {table.name for plugin in SHIPPED.plugins for table in plugin.tables} | _core_tables()
    for table in Base.metadata.sorted_tables:
        if table.name in own:
            table.to_metadata(wanted)
    with engine.connect() as connection:
        options = {"include_name": lambda name, kind, _: not (kind == "table" and name.startswith("alembic_version")), "compare_type": True}
        differences = compare_metadata(MigrationContext.configure(connection, opts=options), wanted)
        checks = {
            str(constraint["name"])
            for name in inspect(connection).get_table_names()
            for constraint in inspect(connection).get_check_constraints(name)
        }
    engine.dispose()
    assert differences == []
    assert {
        str(each.name) for table in wanted.tables.values() for each in table.constraints if each.name and str(each.name).startswith("ck_")
    } <= checks


def test_second_upgrade_does_nothing(empty_database_url: str) -> None:
    first = migrations.upgrade(empty_database_url, registry=SHIPPED)
    second = migrations.upgrade(empty_database_url, registry=SHIPPED)

    assert [each.name for each in first] == ["core", *[plugin.name for plugin in SHIPPED.plugins]]
    assert second == []


def test_missing_migration_is_named(empty_database_url: str) -> None:
    migrations.upgrade(empty_database_url, registry=registry.load(only=[]))
    engine = open_engine(empty_database_url, Settings())

    with pytest.raises(MigrationMissing) as caught:
        migrations.require_current(engine, registry=SHIPPED)

    engine.dispose()
    assert caught.value.facts["lineages"] == [plugin.name for plugin in SHIPPED.plugins]


def test_plugin_that_is_gone_leaves_the_others_upgradable_and_its_tables_alone(empty_database_url: str) -> None:
    migrations.upgrade(empty_database_url, registry=SHIPPED)
    gone, *rest = [plugin.name for plugin in SHIPPED.plugins]
    engine = open_engine(empty_database_url, Settings())

    assert migrations.upgrade(empty_database_url, registry=registry.load(only=rest)) == []

    assert any(name.startswith(f"{gone}_") for name in inspect(engine).get_table_names())
    engine.dispose()


def test_purge_drops_exactly_one_plugins_tables(empty_database_url: str) -> None:
    migrations.upgrade(empty_database_url, registry=SHIPPED)
    plugin = SHIPPED.plugins[0]
    engine = open_engine(empty_database_url, Settings())
    before = set(inspect(engine).get_table_names())

    migrations.purge(empty_database_url, plugin=plugin)

    after = set(inspect(engine).get_table_names())
    engine.dispose()
    assert before - after == {table.name for table in plugin.tables} | {f"alembic_version_{plugin.name}"}


@pytest.mark.parametrize(
    "statement",
    [
        select(Invoice.id),
        select(Invoice.id).where(Invoice.number == "x"),
        select(Invoice.id).where(Invoice.clinic_id == CLINIC, Invoice.patient_id.in_(select(Patient.id))),
        select(aliased(Invoice).id),
        select(InvoiceItem.id).join(Invoice, Invoice.id == InvoiceItem.invoice_id).where(Invoice.clinic_id == CLINIC),
    ],
)
def test_statement_that_does_not_bind_the_clinic_is_refused(statement: object) -> None:
    with pytest.raises(UnscopedStatement):
        require_scoped(statement)


@pytest.mark.parametrize(
    "statement",
    [
        select(Invoice.id).where(Invoice.clinic_id == CLINIC),
        select(InvoiceItem.id)
        .join(Invoice, (Invoice.clinic_id == InvoiceItem.clinic_id) & (Invoice.id == InvoiceItem.invoice_id))
        .where(InvoiceItem.clinic_id == CLINIC),
    ],
)
def test_statement_that_binds_the_clinic_passes(statement: object) -> None:
    require_scoped(statement)


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    made = World(database_url)
    made.found("south")
    yield made
    made.dispose()


def test_queries_of_the_session_see_one_clinic_only(world: World) -> None:
    world.patient()
    world.patient(clinic="south")

    here = world.read(lambda tx: tx.session.scalars(select(Patient)).all())

    assert len(here) == 1


def test_plain_table_statement_through_the_session_is_refused_without_the_clinic(world: World) -> None:
    with pytest.raises(UnscopedStatement):
        world.read(lambda tx: tx.session.execute(select(Base.metadata.tables["patient"].c.id)).all())


def test_row_of_another_clinic_cannot_be_added(world: World) -> None:
    other = world.read(lambda tx: tx.clinic_id, clinic="south")

    with pytest.raises(PluginViolation):
        world.run(
            lambda tx: tx.session.add(Patient(clinic_id=other, client_id=other, kind="person", name="x", sex="male", created_at=tx.at))
        )


def test_strict_tables_refuse_text_in_a_number_on_sqlite(empty_sqlite_url: str) -> None:
    migrations.upgrade(empty_sqlite_url, registry=SHIPPED)
    engine = open_engine(empty_sqlite_url, Settings())

    with engine.connect() as connection:
        texts = connection.execute(text("SELECT name, sql FROM sqlite_master WHERE type = 'table'")).all()

    engine.dispose()
    loose = [name for name, sql in texts if "STRICT" not in sql and not name.startswith(("alembic_version", "sqlite_"))]
    assert loose == []


def test_query_with_a_limit_works_on_both_databases(world: World) -> None:
    from billing.trips import Query

    for _ in range(3):
        world.patient()
    query = Query(select(Patient.id).where(Patient.clinic_id == CLINIC).order_by(Patient.id).limit(2))

    assert len(world.read(lambda tx: tx.rows(query))) == 2


def test_bad_table_of_the_core_stops_the_start(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from billing.services.installation import BadSchema, open_database

    monkeypatch.setattr(Patient, "table_class", None, raising=False)

    with pytest.raises(BadSchema, match="patient is registered neither"):
        open_database(sqlite_url, plugins=SHIPPED)
