"""Records side by side: which belong together, how far their numbers spread, who is ahead."""
