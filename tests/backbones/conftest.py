"""The same small networks as in tests/pruning."""

from tests.pruning.conftest import (  # noqa: F401 - fixtures
    _original,
    build,
    costs,
    coupled,
    inputs,
    networks,
    odd,
    offline,
    sd21,
    seeded,
    unet,
)  # fmt: skip
