"""Builders that train the embedded mini world's models from nothing."""
