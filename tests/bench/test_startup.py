"""A page of help, with many plugins installed, loads nothing that only a unit of work needs."""

import os
from pathlib import Path

from bench.startup import PLUGINS, heavy_modules, install_stub


def test_help_loads_no_database_and_no_plugin(tmp_path: Path) -> None:
    for place in range(PLUGINS):
        install_stub(tmp_path, f"stub{place:02}")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    heavy_modules(environment)  # the list of plugins' commands is made

    assert heavy_modules(environment) == []
