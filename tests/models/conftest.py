"""The same small networks as in tests/pruning."""

from tests.pruning.conftest import _original, build, inputs, offline, seeded, unet  # noqa: F401 - fixtures
