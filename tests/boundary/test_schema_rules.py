"""The schema rules, one good and one bad example each; and what can only be seen in a database: no trigger, no rule, no sequence."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import (
    DDL,
    BigInteger,
    CheckConstraint,
    Column,
    Computed,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Sequence,
    Table,
    Text,
    UniqueConstraint,
    create_engine,
    event,
    text,
)
from sqlalchemy.dialects.postgresql import ExcludeConstraint
from sqlalchemy.pool import NullPool

from billing import registry
from billing.model import Base, Clinic, ClinicCode, MigrationLock, Service, TableClass
from billing.model.lint import RULES, core_tables, schema_problems, table_classes
from billing.model.types import IdType
from billing.plugin import Declaration, hookimpl

CLINIC, REFERENCE, LOCAL = TableClass.CLINIC, TableClass.REFERENCE, TableClass.LOCAL


@pytest.fixture
def table() -> Iterator[Callable[..., Table]]:
    """Make a table that breaks no rule but by what is given; it goes when the test ends."""
    made: list[Table] = []

    def make(*parts: Any, name: str = "bad_table", clinic: Any = None, key: bool = True) -> Table:
        first = Column("clinic_id", IdType, primary_key=key, nullable=False) if clinic is None else clinic
        one = Table(name, Base.metadata, first, Column("id", IdType, primary_key=True), Column("name", Text), *parts)
        made.append(one)
        return one

    yield make
    for each in made:
        Base.metadata.remove(each)


def problems(rule: str, table: Table, table_class: TableClass | None = CLINIC) -> list[str]:
    """Return what one rule finds at a table of a class."""
    (chosen,) = [each for each in RULES if each.__name__ == rule]
    return list(chosen(table, {**table_classes(), table: table_class}))


def parent(table: Any) -> str:
    return str(table.__table__.name)


def test_every_rule_has_its_examples() -> None:
    here = {name for name in globals() if name.startswith("test_")}

    for rule in RULES:
        assert any(rule.__name__ in name for name in here), rule.__name__


def test_all_that_is_installed_keeps_the_rules() -> None:
    plugins = registry.load().plugins

    assert schema_problems({*core_tables(), *(table for plugin in plugins for table in plugin.tables)}) == []
    assert all(plugin.tables for plugin in plugins)


def test_boring_table_breaks_no_rule(table: Callable[..., Table]) -> None:
    made = table(
        UniqueConstraint("clinic_id", "name"), CheckConstraint("name <> ''", name="name"), Index("ix_bad_table_name", "clinic_id", "name")
    )

    assert [problem for rule in RULES for problem in rule(made, {made: CLINIC})] == []


def test_registered_finds_a_table_without_a_class(table: Callable[..., Table]) -> None:
    made = table()

    assert problems("registered", made, LOCAL) == []
    assert problems("registered", made, None) == ["bad_table is registered neither as a clinic's table, nor as a reference or local one"]


@pytest.mark.parametrize(
    ("clinic", "problem"),
    [
        (Column("clinic_id", Text, primary_key=True), "not an id that is never null"),
        (Column("clinic_id", IdType, nullable=True), "not an id that is never null"),
        (Column("clinic_id", IdType, primary_key=True, onupdate=lambda: "x"), "a row stays with its clinic"),
        (Column("owner_id", IdType, primary_key=True), "has no column clinic_id"),
    ],
)
def test_clinic_column_finds_another_type_null_change_and_absence(clinic: Column[Any], problem: str, table: Callable[..., Table]) -> None:
    (found,) = problems("clinic_column", table(clinic=clinic))

    assert problem in found
    assert problems("clinic_column", table(name="good_table")) == []


def test_key_of_the_clinic_finds_a_key_without_it(table: Callable[..., Table]) -> None:
    assert problems("key_of_the_clinic", table(key=False)) == ["the primary key of bad_table does not begin with clinic_id"]
    assert problems("key_of_the_clinic", table(name="good_table")) == []


@pytest.mark.parametrize(
    ("bad", "good"),
    [
        (UniqueConstraint("name", name="uq_it"), UniqueConstraint("clinic_id", "name", name="uq_it")),
        (Index("uq_it", "name", unique=True), Index("uq_it", "name", "clinic_id", unique=True)),
        (Index("uq_it", text("lower(name)"), unique=True), Index("uq_it", "clinic_id", text("lower(name)"), unique=True)),
        (ExcludeConstraint(("name", "="), name="uq_it"), ExcludeConstraint(("clinic_id", "="), ("name", "="), name="uq_it")),
    ],
    ids=["constraint", "index", "expression", "exclusion"],
)
def test_unique_within_a_clinic_finds_uniqueness_over_all(bad: Any, good: Any, table: Callable[..., Table]) -> None:
    assert problems("unique_within_a_clinic", table(bad)) == ["uq_it is unique over all clinics"]
    assert problems("unique_within_a_clinic", table(good, name="good_table")) == []


@pytest.mark.parametrize(
    ("columns", "target", "table_class", "problem"),
    [
        (["name"], f"{parent(Service)}.id", CLINIC, "without naming the clinic"),
        (["id", "clinic_id"], f"{parent(Service)}.clinic_id {parent(Service)}.id", CLINIC, "without naming the clinic"),
        (["clinic_id"], f"{parent(Clinic)}.clinic_id", REFERENCE, "from a shared table to a clinic's"),
        (["name"], f"{parent(MigrationLock)}.name", CLINIC, "to a local table"),
        (["clinic_id", "id"], f"{parent(Service)}.clinic_id {parent(Service)}.id", CLINIC, None),
        (["name"], f"{parent(ClinicCode)}.code", CLINIC, None),
    ],
)
def test_references_of_one_clinic_finds_the_others(
    columns: list[str], target: str, table_class: TableClass, problem: str | None, table: Callable[..., Table]
) -> None:
    made = table(ForeignKeyConstraint(columns, target.split(), name="fk_it"))

    found = problems("references_of_one_clinic", made, table_class)

    assert [problem in each for each in found] == [True] if problem else found == []


@pytest.mark.parametrize(
    ("options", "allowed"),
    [
        ({"ondelete": "SET NULL"}, False),
        ({"ondelete": "set default"}, False),
        ({"ondelete": "SET NULL (name)"}, False),
        ({"onupdate": "CASCADE"}, False),
        ({"ondelete": "CASCADE"}, True),
        ({"ondelete": "RESTRICT"}, True),
        ({}, True),
    ],
)
def test_rows_stay_when_targets_go_finds_what_changes_them(options: dict[str, Any], allowed: bool, table: Callable[..., Table]) -> None:
    made = table(ForeignKeyConstraint(["clinic_id", "name"], ["service.clinic_id", "service.id"], name="fk_it", **options))

    assert (problems("rows_stay_when_targets_go", made) == []) is allowed


@pytest.mark.parametrize(
    "column",
    [
        Column("place", BigInteger, Identity()),
        Column("place", BigInteger, Sequence("places")),
        Column("place", BigInteger, server_default=text("nextval('places')")),
        Column("place", IdType, server_default=text("gen_random_uuid()")),
        Column("place", BigInteger, Computed("1 + 1")),
    ],
    ids=["identity", "sequence", "nextval", "random", "computed"],
)
def test_ids_from_python_finds_what_the_database_makes(column: Column[Any], table: Callable[..., Table]) -> None:
    (found,) = problems("ids_from_python", table(column))

    assert "place" in found
    assert problems("ids_from_python", table(Column("place", BigInteger, server_default="0"), name="good_table")) == []


def test_ids_from_python_finds_a_serial_key() -> None:
    made = Table("bad_serial", Base.metadata, Column("id", Integer, primary_key=True))
    Base.metadata.remove(made)

    assert problems("ids_from_python", made, LOCAL) == ["bad_serial takes ids from the database (id): ids are made in Python"]


@pytest.mark.parametrize(
    ("part", "problem"),
    [
        (UniqueConstraint("clinic_id", "name", name="uq_" + "x" * 48), "longer than 50"),
        (Index("ix_bad_table_name_2", "clinic_id", "name"), "ends in a number"),
        (UniqueConstraint("clinic_id", "name", name="uq_" + "x" * 47), None),
    ],
)
def test_names_finds_long_and_numbered_ones(part: Any, problem: str | None, table: Callable[..., Table]) -> None:
    found = problems("names", table(part))

    assert [problem in each for each in found] == [True] if problem else found == []


def test_names_finds_a_constraint_without_one() -> None:
    made = Table(
        "bad_table", MetaData(), Column("clinic_id", IdType), UniqueConstraint("clinic_id"), PrimaryKeyConstraint(name="pk_bad_table")
    )

    assert problems("names", made) == ["bad_table has a constraint or index without a name"]


def test_names_finds_a_table_that_is_named_like_a_shard(table: Callable[..., Table]) -> None:
    assert "bad_table_102008 ends in a number, like a shard of a cluster" in problems("names", table(name="bad_table_102008"))


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("CREATE TRIGGER forbid BEFORE UPDATE ON bad_table EXECUTE FUNCTION no()", ["bad_table is created with a trigger"]),
        ("CREATE RULE forbid AS ON DELETE TO bad_table DO INSTEAD NOTHING", ["bad_table is created with a rule"]),
        ("COMMENT ON TABLE bad_table IS 'triggers nothing'", []),
    ],
)
def test_no_triggers_finds_triggers_and_rules(statement: str, found: list[str], table: Callable[..., Table]) -> None:
    made = table()
    event.listen(made, "after_create", DDL(statement).execute_if(dialect="postgresql"))  # type: ignore[no-untyped-call]

    assert problems("no_triggers", made) == found


@pytest.mark.parametrize("options", [{"deferrable": True}, {"initially": "DEFERRED"}])
@pytest.mark.parametrize("table_class", [CLINIC, REFERENCE])
def test_checked_at_once_finds_what_is_deferred(options: dict[str, Any], table_class: TableClass, table: Callable[..., Table]) -> None:
    made = table(
        UniqueConstraint("clinic_id", "name", name="uq_it", **options),
        ForeignKeyConstraint(["clinic_id", "id"], ["service.clinic_id", "service.id"], name="fk_it", **options),
    )

    assert sorted(problems("checked_at_once", made, table_class)) == ["fk_it is deferrable", "uq_it is deferrable"]


def test_plugin_with_a_bad_table_is_quarantined_when_it_is_loaded() -> None:
    class BadNote(Base):
        __tablename__ = "bad_note"
        __table_args__ = (UniqueConstraint("id", name="uq_bad_note_id"),)
        table_class = CLINIC
        clinic_id = Column(IdType, primary_key=True)
        id = Column(IdType, primary_key=True)

    class Bad:
        @hookimpl
        def declare(self) -> Declaration:
            return Declaration(tables=(BadNote,))

    try:
        (plugin,) = registry.of_modules({"bad": Bad()}).plugins
    finally:
        Base.metadata.remove(BadNote.__table__)  # type: ignore[arg-type]
        Base.registry._dispose_cls(BadNote)  # noqa: SLF001 - the class must not stay with the shipped ones

    assert plugin.error == "Misconfigured: uq_bad_note_id is unique over all clinics"


def test_migrations_leave_no_trigger_rule_or_sequence(database_url: str) -> None:
    questions = {
        "sqlite": [
            "SELECT name FROM sqlite_master WHERE type NOT IN ('table', 'index')",
            "SELECT name FROM sqlite_master WHERE name = 'sqlite_sequence'",
        ],
        "postgresql": [
            "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal",
            "SELECT rulename FROM pg_rules WHERE schemaname = current_schema()",
            "SELECT relname FROM pg_class WHERE relkind IN ('S', 'v', 'm', 'f') AND relnamespace = current_schema()::regnamespace",
        ],
    }
    engine = create_engine(database_url, poolclass=NullPool)

    with engine.connect() as connection:
        found = [row[0] for question in questions[engine.dialect.name] for row in connection.execute(text(question))]

    assert found == []
