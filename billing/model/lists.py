"""A list of values as one bind, the same text whatever its length: `Service.code.op("IN")(texts("codes"))`, sent as JSON."""

from typing import Any

from sqlalchemy import Text, bindparam
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.elements import ColumnElement

from billing.model.types import IdType


class JsonList(ColumnElement[Any]):
    """The values of a JSON array that is bound under `name`."""

    inherit_cache = False

    def __init__(self, name: str, item: Any) -> None:
        self.bind = bindparam(name, type_=Text())
        self.type = item


def texts(name: str) -> JsonList:
    """Return the texts of the JSON array bound as `name`."""
    return JsonList(name, Text())


def ids(name: str) -> JsonList:
    """Return the ids of the JSON array bound as `name`."""
    return JsonList(name, IdType())


@compiles(JsonList, "sqlite")
def _on_sqlite(element: JsonList, compiler: Any, **kw: Any) -> str:
    return f"(SELECT value FROM json_each({compiler.process(element.bind, **kw)}))"


@compiles(JsonList, "postgresql")
def _on_postgresql(element: JsonList, compiler: Any, **kw: Any) -> str:
    values = f"json_array_elements_text(CAST({compiler.process(element.bind, **kw)} AS json))"
    item = element.type.compile(compiler.dialect)
    return f"(SELECT CAST(each AS {item}) FROM {values} AS each)"
