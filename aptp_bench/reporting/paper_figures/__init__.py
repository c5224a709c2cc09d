"""The figures of the papers, drawn from our runs and records."""
