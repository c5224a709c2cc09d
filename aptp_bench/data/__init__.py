"""Datasets: the embedded mini world and the loaders of the real ones."""
