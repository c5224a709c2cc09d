"""The audit: what this suite found in the published record while reproducing it, each finding as a check to run."""
