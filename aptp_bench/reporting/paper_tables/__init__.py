"""The tables of the papers: what they print, and beside it what was measured here."""
