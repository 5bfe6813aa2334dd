"""`billing db distribute`: its SQL as text, what must hold of its order, and what it says where there is no cluster."""

import re
from collections.abc import Callable, Iterator

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import Column, Connection, MetaData, Table, Text, create_engine, make_url, text
from sqlalchemy.pool import NullPool
from syrupy.assertion import SnapshotAssertion

from billing import migrations, registry
from billing.errors import Misconfigured
from billing.interfaces.cli.frame import Frame
from billing.migrations import MigrationMissing, cluster
from billing.migrations.cluster import NoCluster
from billing.model import TableClass
from billing.model.lint import core_tables, table_classes

SHIPPED = registry.load()
TABLES = [*core_tables(), *(table for plugin in SHIPPED.plugins for table in plugin.tables)]

_SPREAD = re.compile(r"SELECT create_(reference|distributed)_table\('(\w+)'")


def spread(statements: list[str]) -> list[tuple[str, str]]:
    """Return kind and name of each table, in order."""
    return [(found.group(1), found.group(2)) for each in statements if (found := _SPREAD.match(each))]


@pytest.fixture
def billing(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    def run(url: str, *words: str) -> Result:
        monkeypatch.setenv("BILLING_DATABASE_URL", url)
        return CliRunner(catch_exceptions=False).invoke(Frame(), ["db", "distribute", *words])

    return run


@pytest.fixture
def pretended(postgresql_url: str) -> Iterator[Connection]:
    """Open a database that answers as a cluster's coordinator would, and notes what it is told."""
    engine = create_engine(make_url(postgresql_url).set(username="postgres"), poolclass=NullPool)
    with engine.begin() as connection:
        for statement in (
            "CREATE TABLE pg_dist_partition (logicalrelid regclass PRIMARY KEY)",
            """CREATE FUNCTION create_reference_table(name text) RETURNS void LANGUAGE sql
            AS 'INSERT INTO pg_dist_partition VALUES (name::regclass)'""",
            """CREATE FUNCTION create_distributed_table(name text, by text, colocate_with text) RETURNS void LANGUAGE sql
            AS 'INSERT INTO pg_dist_partition VALUES (name::regclass)'""",
        ):
            connection.execute(text(statement))
        yield connection


def test_sql_is_as_it_was_read(snapshot: SnapshotAssertion) -> None:
    assert "\n".join(migrations.distribution_sql(SHIPPED)) == snapshot


def test_every_registered_table_is_spread_exactly_once_and_local_ones_stay() -> None:
    classes = table_classes()

    named = [name for _, name in spread(migrations.distribution_sql(SHIPPED))]

    assert sorted(named) == sorted(table.name for table in TABLES if classes[table] is not TableClass.LOCAL)
    assert any(classes[table] is TableClass.LOCAL for table in TABLES)


def test_each_table_is_spread_as_the_class_it_is_registered_as() -> None:
    classes = {table.name: table_class for table, table_class in table_classes().items()}

    for kind, name in spread(migrations.distribution_sql(SHIPPED)):
        assert classes[name] is {"reference": TableClass.REFERENCE, "distributed": TableClass.CLINIC}[kind], name


def test_what_is_referred_to_comes_first_and_shared_tables_before_all() -> None:
    in_order = spread(migrations.distribution_sql(SHIPPED))
    place = {name: number for number, (_, name) in enumerate(in_order)}

    for table in TABLES:
        for foreign in table.foreign_key_constraints if table.name in place else ():
            assert place[foreign.referred_table.name] < place[table.name] or foreign.referred_table is table, foreign.name
    assert [kind for kind, _ in in_order] == sorted((kind for kind, _ in in_order), reverse=True)


def test_clinics_come_first_and_all_their_tables_are_placed_by_them() -> None:
    statements = [each for each in migrations.distribution_sql(SHIPPED) if "create_distributed_table" in each]

    assert statements[0] == "SELECT create_distributed_table('clinic', 'clinic_id', colocate_with => 'none')"
    assert all(each.endswith(", 'clinic_id', colocate_with => 'clinic')") for each in statements[1:])


def test_transaction_begins_with_what_makes_the_order_possible() -> None:
    statements = migrations.distribution_sql(SHIPPED)

    assert tuple(statements[:2]) == cluster.SETTINGS
    assert statements[-1] == cluster.NODES_HEAR


def test_tables_of_a_quarantined_plugin_stay_out() -> None:
    without = {name for _, name in spread(migrations.distribution_sql(registry.load(only=["pharmacy"])))}

    assert any(name.startswith("pharmacy_") for name in without)
    assert not any(name.startswith("laboratory_") for name in without)


def test_what_is_spread_already_is_left_and_a_second_run_does_nothing() -> None:
    done = {table.name for table in TABLES}

    assert cluster.statements(TABLES, done=done) == []
    assert spread(cluster.statements(TABLES, done=done - {"invoice"})) == [("distributed", "invoice")]


def test_sqlite_has_nothing_to_spread(billing: Callable[..., Result], sqlite_url: str) -> None:
    result = billing(sqlite_url)

    assert result.exit_code == 6
    assert "there is nothing to spread over nodes. [no_cluster]" in result.stderr


def test_postgresql_without_the_extension_says_what_to_install(billing: Callable[..., Result], postgresql_url: str) -> None:
    result = billing(postgresql_url)

    assert result.exit_code == 6
    assert "no extension citus" in result.stderr
    assert "install Citus 13 or newer on every node" in result.stderr


def test_sql_is_printed_without_any_database(billing: Callable[..., Result], empty_sqlite_url: str) -> None:
    result = billing(empty_sqlite_url, "--sql")

    assert result.exit_code == 0
    assert result.stdout.splitlines() == [f"{each};" for each in migrations.distribution_sql(SHIPPED)]


def test_tables_are_spread_once_and_those_of_nobody_are_told(pretended: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "require_cluster", lambda connection: None)
    pretended.execute(text("CREATE TABLE surgery_knife (name text)"))

    first = cluster.distribute(pretended, TABLES)
    second = cluster.distribute(pretended, TABLES)

    settings = pretended.scalars(
        text(
            "SELECT unnest(setconfig) FROM pg_db_role_setting JOIN pg_database d ON d.oid = setdatabase WHERE datname = current_database()"
        )
    ).all()
    assert settings == ["citus.propagate_set_commands=local"]
    assert set(first) == {name for _, name in spread(migrations.distribution_sql(SHIPPED))}
    assert second == []
    assert cluster.left_over(pretended, TABLES) == ["pg_dist_partition", "surgery_knife"]


def test_new_table_of_a_migration_is_spread_where_the_others_are(pretended: Connection) -> None:
    names = ["kennel_box", "alembic_version_kennel"]
    pretended.execute(text("SELECT create_distributed_table('clinic', 'clinic_id', 'none')"))

    with cluster.spreading(pretended):
        for name in names:
            Table(name, MetaData(), Column("clinic_id" if name == "kennel_box" else "version", Text, primary_key=True)).create(pretended)
        mode = pretended.scalar(text("SELECT current_setting('citus.multi_shard_modify_mode')"))

    assert cluster.distributed(pretended) == {"clinic", "kennel_box"}
    assert mode == "sequential"


def test_new_table_stays_where_nothing_is_spread(pretended: Connection) -> None:
    with cluster.spreading(pretended):
        Table("kennel_box", MetaData(), Column("clinic_id", Text, primary_key=True)).create(pretended)

    assert cluster.distributed(pretended) == set()


def test_new_table_that_no_model_describes_stops_the_migration(pretended: Connection) -> None:
    pretended.execute(text("SELECT create_distributed_table('clinic', 'clinic_id', 'none')"))

    with cluster.spreading(pretended), pytest.raises(Misconfigured, match="surgery_knife that no model describes"):
        Table("surgery_knife", MetaData(), Column("name", Text)).create(pretended)


def test_database_that_is_behind_is_migrated_first(empty_postgresql_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "require_cluster", lambda connection: None)

    with pytest.raises(MigrationMissing):
        migrations.distribute(empty_postgresql_url, registry=SHIPPED)


def test_other_databases_are_no_cluster(database_url: str) -> None:
    with create_engine(database_url, poolclass=NullPool).connect() as connection:
        assert cluster.distributed(connection) == set()
        with pytest.raises(NoCluster):
            cluster.require_cluster(connection)
