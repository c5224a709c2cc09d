"""The metrics, one plugin each."""
