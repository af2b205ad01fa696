"""The engine for calls: admit, route, render, send, relay, settle."""
