-- Version 2: budgets and limits of keys, what was set aside for an attempt, what its rules said.
ALTER TABLE keys ADD COLUMN budgets TEXT;   -- JSON list of core.budget.Budget, NULL = none
ALTER TABLE keys ADD COLUMN limits TEXT;    -- JSON list of core.rate.RateLimit, NULL = none

ALTER TABLE events ADD COLUMN held_nano INTEGER;
ALTER TABLE events ADD COLUMN saved_nano INTEGER NOT NULL DEFAULT 0;
ALTER TABLE events ADD COLUMN trace TEXT;
