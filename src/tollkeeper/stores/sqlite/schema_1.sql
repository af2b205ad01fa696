-- Version 1 of the embedded store. Times are Unix milliseconds, money is nano-USD.
CREATE TABLE keys (
    id         TEXT PRIMARY KEY,
    name       TEXT NOT NULL,
    owner      TEXT,
    team       TEXT,
    shown      TEXT NOT NULL,      -- the visible beginning of the secret
    digest     BLOB NOT NULL UNIQUE, -- HMAC-SHA256 of the secret, keyed by HOME/pepper
    models     TEXT,               -- JSON list, NULL = all
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER
) STRICT;

-- Attempts that were sent and have not ended. A row that is still here at start was open at a crash.
CREATE TABLE holds (
    request_id TEXT NOT NULL,
    attempt    INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    detail     TEXT NOT NULL,      -- the hold as a JSON array
    PRIMARY KEY (request_id, attempt)
) STRICT, WITHOUT ROWID;

-- One row an attempt, written once. Request ids sort by time, so this table only grows at its end.
CREATE TABLE events (
    request_id          TEXT NOT NULL,
    attempt             INTEGER NOT NULL,
    started_at          INTEGER NOT NULL,
    key_id              TEXT NOT NULL,
    owner               TEXT,
    team                TEXT,
    operation           TEXT NOT NULL,
    dialect             TEXT NOT NULL,
    model_asked         TEXT,
    provider            TEXT NOT NULL,
    model               TEXT,
    model_used          TEXT,
    streamed            INTEGER NOT NULL,
    outcome             TEXT NOT NULL,
    status              INTEGER NOT NULL,
    error_code          TEXT,
    quality             TEXT NOT NULL,
    input_tokens        INTEGER NOT NULL,
    cached_input_tokens INTEGER NOT NULL,
    cache_write_tokens  INTEGER NOT NULL,
    audio_input_tokens  INTEGER NOT NULL,
    cached_audio_input_tokens INTEGER NOT NULL,
    output_tokens       INTEGER NOT NULL,
    reasoning_tokens    INTEGER NOT NULL,
    audio_output_tokens INTEGER NOT NULL,
    cost_nano           INTEGER,
    price_version       TEXT,
    usage_raw           TEXT,
    first_byte_ms       REAL,
    duration_ms         REAL NOT NULL,
    overhead_ms         REAL NOT NULL,
    PRIMARY KEY (request_id, attempt)
) STRICT, WITHOUT ROWID;

-- Ids of the provider's whose usage has been charged and may be reported again.
CREATE TABLE charged (
    provider TEXT NOT NULL,
    id       TEXT NOT NULL,
    PRIMARY KEY (provider, id)
) STRICT, WITHOUT ROWID;

