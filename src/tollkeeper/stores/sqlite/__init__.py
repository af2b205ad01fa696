"""The default store: one SQLite file in the home folder, one writer thread, group commit."""
