"""Options of the tests that start moai themselves."""
import signal

# A shell that runs the tests in the background ignores interrupts for all it starts; programs under test do not.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser):
    parser.addoption("--kills", default="20", help="random kills in test_random_kills_leave_nothing")
