"""Metrics over evidence, images from elsewhere, and what every method must keep to."""
