"""APIs that a user publishes at paths of their own, on top of models: declared in the config, or Python functions."""
