-- Version 2: budgets and limits of keys, what was set aside for an attempt, what its rules said.
ALTER TABLE keys ADD COLUMN budgets TEXT;   -- JSON list of core.budget.Budget, NULL = none
ALTER TABLE keys ADD COLUMN limits TEXT;    -- JSON list of core.rate.RateLimit, NULL = none

ALTER TABLE events ADD COLUMN held_nano INTEGER;
ALTER TABLE events ADD COLUMN saved_nano INTEGER NOT NULL DEFAULT 0;
ALTER TABLE events ADD COLUMN trace TEXT;

-- Calls of known keys that were turned away before anything was sent; bounded, see [ledger] in the configuration.
CREATE TABLE refusals (
    number      INTEGER PRIMARY KEY,  -- counts up: the oldest are deleted first
    request_id  TEXT NOT NULL UNIQUE,
    at          INTEGER NOT NULL,
    key_id      TEXT NOT NULL,
    operation   TEXT NOT NULL,
    model_asked TEXT,
    status      INTEGER NOT NULL,
    code        TEXT,
    message     TEXT NOT NULL,
    notes       TEXT NOT NULL         -- JSON list, as events.trace
) STRICT;
