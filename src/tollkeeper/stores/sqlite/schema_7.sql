-- Version 7: who had it made, where that is known; what lasts until it is deleted is not forgotten with old events.
ALTER TABLE origins ADD COLUMN tenant TEXT;
ALTER TABLE origins ADD COLUMN key_id TEXT;
ALTER TABLE origins ADD COLUMN lasting INTEGER NOT NULL DEFAULT 0;
DROP INDEX origins_by_time;
CREATE INDEX origins_by_time ON origins (made_at) WHERE lasting = 0;
