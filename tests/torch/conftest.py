"""Options of the tests that start moai themselves."""
import signal

import pytest

from processes import World

# A shell that runs the tests in the background ignores interrupts for all it starts; programs under test do not.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser):
    parser.addoption("--kills", default="20", help="random kills in test_random_kills_leave_nothing")


@pytest.fixture
def world(tmp_path):
    w = World(tmp_path)
    yield w
    left = w.close()
    assert not left, f"{len(left)} processes did not end"
