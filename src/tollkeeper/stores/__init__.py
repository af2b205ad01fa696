"""What is kept: one folder or file per engine, each implementing ports of `core`."""
