"""One file per HTTP plugin, named as in the config: limit_count.py is limit-count. See routes/plugin.py."""
