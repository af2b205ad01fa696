"""Anthropic Messages, whom Claude's own clients speak and many others take (https://platform.claude.com/docs/en/api)."""
