"""HTML pages, one file each: the leaderboard and the report of a run."""
