"""No hub, as in tests/pruning."""

from tests.pruning.conftest import offline, seeded  # noqa: F401 - fixtures
