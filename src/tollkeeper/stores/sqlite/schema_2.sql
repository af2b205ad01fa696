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

-- Events that are not in the sums yet. A trigger, so that an event that was there already is not summed again.
CREATE TABLE fresh (
    request_id TEXT NOT NULL,
    attempt    INTEGER NOT NULL,
    PRIMARY KEY (request_id, attempt)
) STRICT, WITHOUT ROWID;
INSERT INTO fresh SELECT request_id, attempt FROM events;
CREATE TRIGGER fresh_event AFTER INSERT ON events BEGIN
    INSERT INTO fresh VALUES (new.request_id, new.attempt);
END;

-- What events are summed by. The label is all of it in one text, since no two NULLs are alike to an index.
CREATE TABLE sum_groups (
    id          INTEGER PRIMARY KEY,
    label       TEXT NOT NULL UNIQUE,
    key_id      TEXT NOT NULL,
    owner       TEXT,
    team        TEXT,
    model_asked TEXT,
    provider    TEXT NOT NULL
) STRICT;
CREATE INDEX sum_groups_by_key ON sum_groups (key_id);

-- Sums of the events that began in an hour, day or month (UTC), each event once a span. They outlive the events.
CREATE TABLE sums (
    span                TEXT NOT NULL,
    start               INTEGER NOT NULL,
    of                  INTEGER NOT NULL,  -- sum_groups.id; 0: all of them together
    requests            INTEGER NOT NULL,  -- first attempts of a request
    provider_requests   INTEGER NOT NULL,  -- first attempts at the provider that asked it
    attempts            INTEGER NOT NULL,
    input_tokens        INTEGER NOT NULL,
    cached_input_tokens INTEGER NOT NULL,
    cache_write_tokens  INTEGER NOT NULL,
    audio_input_tokens  INTEGER NOT NULL,
    cached_audio_input_tokens INTEGER NOT NULL,
    output_tokens       INTEGER NOT NULL,
    reasoning_tokens    INTEGER NOT NULL,
    audio_output_tokens INTEGER NOT NULL,
    cost_nano           INTEGER NOT NULL,
    unpriced            INTEGER NOT NULL,
    cached              INTEGER NOT NULL,
    saved_nano          INTEGER NOT NULL,
    PRIMARY KEY (span, start, of)
) STRICT, WITHOUT ROWID;
CREATE INDEX sums_by_group ON sums (of, span, start);

-- Where the summed events of an hour lie: request ids begin with a time, but when they were made, not the attempt's.
CREATE TABLE hours (
    start    INTEGER PRIMARY KEY,
    first_id TEXT NOT NULL,
    last_id  TEXT NOT NULL
) STRICT;

-- Events that began before this moment may have been deleted; only their sums are complete.
CREATE TABLE detail (
    kept_from INTEGER NOT NULL
) STRICT;
INSERT INTO detail VALUES (0);

-- When the clock was set: times near it tell no order.
CREATE TABLE clock_steps (
    number INTEGER PRIMARY KEY,
    should INTEGER NOT NULL,
    said   INTEGER NOT NULL
) STRICT;

-- What providers keep for callers (responses, files, …), and the account that made it: it is asked for there.
CREATE TABLE origins (
    id       TEXT PRIMARY KEY,
    provider TEXT NOT NULL,
    made_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX origins_by_time ON origins (made_at);
