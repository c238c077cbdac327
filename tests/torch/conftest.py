"""Options of the tests that start moai themselves."""


def pytest_addoption(parser):
    parser.addoption("--kills", default="20", help="random kills in test_random_kills_leave_nothing")
