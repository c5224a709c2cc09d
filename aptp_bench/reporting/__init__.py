"""Records side by side: ranking, figures, pages, the papers' tables."""
