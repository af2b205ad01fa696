-- Version 6: what is not in the sums yet is noted once a transaction instead of once an event.
DROP TRIGGER fresh_event;

CREATE TABLE unsummed (
    number   INTEGER PRIMARY KEY,
    attempts TEXT NOT NULL       -- JSON list of [request_id, attempt]: events that the transaction added
) STRICT;
INSERT INTO unsummed (attempts) SELECT json_array(json_array(request_id, attempt)) FROM fresh ORDER BY request_id, attempt;
DROP TABLE fresh;

CREATE VIEW fresh AS
    SELECT u.number, json_extract(a.value, '$[0]') AS request_id, json_extract(a.value, '$[1]') AS attempt
    FROM unsummed u, json_each(u.attempts) a;
