"""Is it ready to deploy: notes, watchlist, rollback triggers."""
