"""The pruning methods, one plugin each."""
