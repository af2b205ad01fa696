-- Version 5: searches that a provider makes and charges one by one.
ALTER TABLE events ADD COLUMN web_searches INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sums ADD COLUMN web_searches INTEGER NOT NULL DEFAULT 0;
