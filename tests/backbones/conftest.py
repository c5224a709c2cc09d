"""No network in these tests."""

from tests.pruning.conftest import offline  # noqa: F401 - a fixture
