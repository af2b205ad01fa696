-- Version 4: cache writes that are kept for an hour, which have a price of their own.
ALTER TABLE events ADD COLUMN cache_write_1h_tokens INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sums ADD COLUMN cache_write_1h_tokens INTEGER NOT NULL DEFAULT 0;
