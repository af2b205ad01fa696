"""The gate's door: ASGI app, HTTP, event streams."""
