"""What the root conftest promises to every test."""

import os
import socket

import pytest


@pytest.mark.parametrize("address", ["192.0.2.1", "example.org"])
def test_connection_to_another_machine_is_refused(address: str) -> None:
    with socket.socket() as outgoing, pytest.raises(AssertionError, match=f"tried to reach {address}"):
        outgoing.connect((address, 80))


def test_lookup_of_another_machine_is_refused() -> None:
    with pytest.raises(AssertionError, match=r"tried to reach example\.org"):
        socket.create_connection(("example.org", 80))


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_connection_to_this_machine_passes(name: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection((name, server.getsockname()[1])) as client:
        assert client.getpeername() == server.getsockname()


def test_settings_of_the_tester_are_hidden() -> None:
    assert {name for name in os.environ if name.startswith("BILLING_")} <= {"BILLING_SHARED_DATA", "BILLING_TEST_POSTGRES"}
