"""A run, a suite of runs, and the folders they leave."""
