"""Providers' usage exports, read into one form and compared with the ledger's own figures; pure."""
