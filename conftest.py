"""What holds for every test of this repository, the plugins' too: databases, no network, a clean environment. Knows nothing of billing."""

import ipaddress
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

pytest_plugins = ["billing.testing.fixtures"]

# No deadlines: a shared machine may pause any example. CI looks further; what it finds is printed as a line to paste.
settings.register_profile("daily", deadline=None, max_examples=50)
settings.register_profile("ci", deadline=None, derandomize=False, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "daily")

# A tester's own clinic and language must not reach the tests; these say what the tests may use.
MEANT_FOR_TESTS = {"BILLING_FAULTS", "BILLING_SHARED_DATA", "BILLING_TEST_POSTGRES"}


@pytest.fixture(scope="session", autouse=True)
def clean_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Hide the tester's settings and data folder from all tests."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("BILLING_") and name not in MEANT_FOR_TESTS]:
            patch.delenv(name)
        patch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("data-home")))
        yield


@pytest.fixture(scope="session", autouse=True)
def no_network() -> Iterator[None]:
    """Refuse every connection that would leave this machine, and every question for another's address."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("connect", "connect_ex"):
            patch.setattr(socket.socket, name, _connecting_here(getattr(socket.socket, name)))
        patch.setattr(socket, "getaddrinfo", _resolving_here(socket.getaddrinfo))
        yield


def _connecting_here(connect: Callable[[socket.socket, Any], Any]) -> Callable[[socket.socket, Any], Any]:
    def guarded(self: socket.socket, address: Any) -> Any:
        if self.family in {socket.AF_INET, socket.AF_INET6}:
            _refuse_elsewhere(address[0])
        return connect(self, address)

    return guarded


def _resolving_here(resolve: Callable[..., Any]) -> Callable[..., Any]:
    def guarded(host: str | None, *args: Any, **kwargs: Any) -> Any:
        if host:
            _refuse_elsewhere(host)
        return resolve(host, *args, **kwargs)

    return guarded


def _refuse_elsewhere(host: str) -> None:
    try:
        here = ipaddress.ip_address(host).is_loopback
    except ValueError:
        here = host == "localhost"
    if not here:
        raise AssertionError(f"A test tried to reach {host}: tests never use the network.")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Find the folder of example invoices and exports that BILLING_SHARED_DATA names; skip where nothing is named."""
    named = os.environ.get("BILLING_SHARED_DATA")
    if not named:
        pytest.skip("BILLING_SHARED_DATA names no folder with en16931/ and synthea/")
    folder = Path(named)
    if missing := [name for name in ("en16931", "synthea") if not (folder / name).is_dir()]:
        pytest.fail(f"BILLING_SHARED_DATA={named} has no folder {' nor '.join(missing)}")
    return folder
