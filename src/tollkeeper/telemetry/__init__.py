"""What operators see of calls as they pass: one log line each, and metrics."""
