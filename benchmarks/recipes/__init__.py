"""Recipes: what each dataset and scale runs, as YAML."""
