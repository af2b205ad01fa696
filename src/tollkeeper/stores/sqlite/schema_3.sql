-- Ordinary routes: resources as APISIX's Admin API has them, and every revision that changed some.

CREATE TABLE resources (
    kind       TEXT NOT NULL,
    id         TEXT NOT NULL,
    value      TEXT NOT NULL,
    created    INTEGER NOT NULL,
    modified   INTEGER NOT NULL,
    face       TEXT NOT NULL,
    expires_at INTEGER,
    place      INTEGER NOT NULL,
    PRIMARY KEY (kind, id)
) STRICT;

CREATE TABLE revisions (
    number  INTEGER PRIMARY KEY,
    at      INTEGER NOT NULL,
    who     TEXT NOT NULL,
    face    TEXT NOT NULL,
    what    TEXT NOT NULL,
    changes TEXT NOT NULL
) STRICT;
