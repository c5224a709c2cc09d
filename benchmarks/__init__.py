"""Recipes, suites and the builders of the embedded mini world."""
