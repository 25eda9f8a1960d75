-- An archive in DuckDB (1.5 or newer), read without cxvault. FORMAT.md, "Reading with SQL", explains each view.
--
--     SET VARIABLE archive = './cxvault-demo';        -- a folder, or s3://bucket/prefix (with the httpfs extension)
--     .read schemas/duckdb.sql
--     FROM coverage;
--
-- Of hundreds of sub-accounts one can be picked, so that only its objects are listed and read; unset, all are:
--
--     SET VARIABLE sub_account = '99999999';
--
-- Which files are committed is read here, once: read this file again to see later commits. Everything that it makes
-- is temporary, and nothing is written to the archive.

-- Instants are UTC; without this each machine would show them in its own zone.
SET TimeZone = 'UTC';

SET VARIABLE archive_root = rtrim(getvariable('archive'), '/');
SET VARIABLE archive_chain = 'sub_account=' || coalesce(getvariable('sub_account'), '*');

-- Whatever lies where manifests do. Read as bytes: one damaged object must not hide the others. A table, so that each
-- is fetched only once.
CREATE OR REPLACE TEMP TABLE manifest_objects AS
SELECT
    regexp_extract(filename, 'manifests/v1/[^/]+/[^/]+$') AS key,
    sha256(content) AS sha256,
    TRY_CAST(TRY(decode(content)) AS JSON) AS json
FROM read_blob(getvariable('archive_root') || '/manifests/v1/' || getvariable('archive_chain') || '/*');

-- One row a manifest, in full as JSON, since each kind of record has its own fields. A manifest names its own
-- place: a copy under another name, or of another chain, is not a manifest.
CREATE OR REPLACE TEMP VIEW manifests AS
SELECT
    json ->> '$.manifest.sub_account' AS sub_account,
    CAST(json ->> '$.manifest.sequence' AS BIGINT) AS sequence,
    key,
    json ->> '$.manifest.kind' AS kind,
    json ->> '$.manifest.date' AS dt,
    CAST(json ->> '$.manifest.revision' AS BIGINT) AS revision,
    CAST(json ->> '$.manifest.complete' AS BOOLEAN) AS complete,
    CAST(json ->> '$.manifest.run.finished_at' AS TIMESTAMPTZ) AS finished_at,
    json ->> '$.signature.public_key' AS signed_by,
    sha256,
    json
FROM manifest_objects
WHERE (json ->> '$.manifest.key') = key
    AND key = format(
        'manifests/v1/sub_account={}/{:010d}.json',
        json ->> '$.manifest.sub_account', CAST(json ->> '$.manifest.sequence' AS BIGINT));

-- Whatever lies where the roster does. An older archive has none, and a pattern that finds nothing would be an error.
SET VARIABLE archive_rosters = (
    SELECT list(file ORDER BY file) FROM glob(getvariable('archive_root') || '/roster/v1/*'));

CREATE OR REPLACE TEMP TABLE roster_objects AS
SELECT
    regexp_extract(filename, 'roster/v1/[^/]+$') AS key,
    sha256(content) AS sha256,
    TRY_CAST(TRY(decode(content)) AS JSON) AS json
FROM read_blob(list_concat([getvariable('archive_root') || '/archive.json'], getvariable('archive_rosters')))
WHERE contains(filename, '/roster/v1/');

-- One row a sub-account in each record.
CREATE OR REPLACE TEMP VIEW rosters AS
WITH records AS (
    SELECT
        key, sha256, json,
        json ->> '$.manifest.kind' AS kind,
        CAST(json ->> '$.manifest.sequence' AS BIGINT) AS sequence,
        unnest(from_json(json -> '$.manifest.sub_accounts', '[{
            "id": "VARCHAR", "listed": "BOOLEAN", "expected": "BOOLEAN", "outcome": "VARCHAR",
            "head": {"sequence": "BIGINT", "sha256": "VARCHAR"},
            "unlisted": {"since": "BIGINT", "acknowledged": "BOOLEAN"}}]')) AS one
    FROM roster_objects
    WHERE key = format('roster/v1/{:010d}.json', CAST(json ->> '$.manifest.sequence' AS BIGINT))
)
SELECT
    one.id AS sub_account, sequence, key, kind,
    one.listed AS listed, one.expected AS expected, one.outcome AS outcome,
    one.head.sequence AS head_sequence, one.head.sha256 AS head_sha256,
    one.unlisted.since AS unlisted_since, one.unlisted.acknowledged AS acknowledged,
    CAST(json ->> '$.manifest.run.finished_at' AS TIMESTAMPTZ) AS finished_at,
    json ->> '$.signature.public_key' AS signed_by,
    sha256
FROM records;

-- One row for each day whose gaps were acknowledged: by which record, when and why, and what was missing then.
CREATE OR REPLACE TEMP VIEW acknowledgements AS
SELECT
    sub_account, day.date AS dt, day.revision AS revision,
    day.agent_failed AS agent_failed, day.auto_failed AS auto_failed,
    json ->> '$.manifest.reason' AS reason,
    json ->> '$.manifest.by' AS said_by,
    finished_at AS acknowledged_at,
    sequence,
    key
FROM (
    SELECT
        *,
        unnest(from_json(json -> '$.manifest.days', '[{
            "date": "VARCHAR", "revision": "BIGINT", "agent_failed": "BIGINT", "auto_failed": "BIGINT"}]')) AS day
    FROM manifests
    WHERE kind = 'acknowledgement'
);

-- One row a day that was disposed of after its retention: by which record, when and why, and how long it had been
-- locked. Its manifests stay; its files may be gone.
CREATE OR REPLACE TEMP VIEW disposals AS
SELECT
    sub_account, day.date AS dt, day.revision AS revision, day.files AS files, day.bytes AS bytes,
    day.lock.mode AS lock_mode,
    CAST(day.lock.retain_until AS TIMESTAMPTZ) AS retain_until,
    json ->> '$.manifest.reason' AS reason,
    json ->> '$.manifest.by' AS said_by,
    finished_at AS disposed_at,
    sequence,
    key
FROM (
    SELECT
        *,
        unnest(from_json(json -> '$.manifest.days', '[{
            "date": "VARCHAR", "revision": "BIGINT", "files": "BIGINT", "bytes": "BIGINT",
            "lock": {"mode": "VARCHAR", "retain_until": "VARCHAR"}}]')) AS day
    FROM manifests
    WHERE kind = 'disposal'
);

-- One row an archive day: its state as the head of the chain has it, and what its last revision counted.
CREATE OR REPLACE TEMP VIEW coverage AS
WITH heads AS (
    SELECT sub_account, arg_max(json -> '$.manifest.coverage', sequence) AS coverage
    FROM manifests
    GROUP BY sub_account
), letters AS (
    SELECT
        sub_account,
        CAST(coverage ->> '$.first_day' AS DATE) AS first_day,
        coverage ->> '$.days' AS letters,
        unnest(range(length(coverage ->> '$.days'))) AS i
    FROM heads
), days AS (
    SELECT sub_account, strftime(first_day + CAST(i AS INTEGER), '%Y-%m-%d') AS dt, letters[i + 1] AS letter
    FROM letters
), revisions AS (
    SELECT sub_account, dt, count(*) AS revisions, arg_max(json -> '$.manifest', sequence) AS last
    FROM manifests
    WHERE kind = 'day'
    GROUP BY sub_account, dt
)
SELECT
    sub_account,
    dt,
    CASE letter
        WHEN 'c' THEN 'complete'
        WHEN 'e' THEN 'empty'
        WHEN 'g' THEN 'gaps'
        WHEN 'a' THEN 'acknowledged'
        WHEN 'd' THEN 'disposed'
        ELSE 'missing'
    END AS state,
    coalesce(revisions, 0) AS revisions,
    CAST(last ->> '$.day.segments' AS BIGINT) AS segments,
    CAST(last ->> '$.day.agent.PRESENT' AS BIGINT) AS agent_present,
    CAST(last ->> '$.day.agent.EMPTY' AS BIGINT) AS agent_empty,
    CAST(last ->> '$.day.agent.NOT_FOUND' AS BIGINT) AS agent_not_found,
    CAST(last ->> '$.day.agent.FAILED' AS BIGINT) AS agent_failed,
    CAST(last ->> '$.day.auto.PRESENT' AS BIGINT) AS auto_present,
    CAST(last ->> '$.day.auto.EMPTY' AS BIGINT) AS auto_empty,
    CAST(last ->> '$.day.auto.NOT_FOUND' AS BIGINT) AS auto_not_found,
    CAST(last ->> '$.day.auto.FAILED' AS BIGINT) AS auto_failed,
    last ->> '$.zone' AS zone,
    CAST(last ->> '$.window.start' AS TIMESTAMPTZ) AS window_start,
    CAST(last ->> '$.window.end' AS TIMESTAMPTZ) AS window_end,
    CAST(last ->> '$.run.finished_at' AS TIMESTAMPTZ) AS committed_at,
    CAST(last ->> '$.object_lock.retain_until' AS TIMESTAMPTZ) AS retain_until
FROM days
LEFT JOIN revisions USING (sub_account, dt);

-- One row a committed Parquet file, also of days that were disposed of.
CREATE OR REPLACE TEMP VIEW committed_files AS
WITH listed AS (
    SELECT
        sub_account, dt, revision, sequence,
        unnest(from_json(json -> '$.manifest.files', '[{
            "key": "VARCHAR", "bytes": "BIGINT", "rows": "BIGINT", "sha256": "VARCHAR", "merkle_root": "VARCHAR",
            "version_id": "VARCHAR", "adopted": "BOOLEAN"}]')) AS file
    FROM manifests
    WHERE kind = 'day'
)
SELECT sub_account, dt, revision, sequence, file.*
FROM listed;

-- Those that must be there. The files of a day that was disposed of may be gone, by right: no view below opens them, nor
-- has a row of theirs.
CREATE OR REPLACE TEMP VIEW files AS
FROM committed_files
ANTI JOIN (FROM coverage WHERE state = 'disposed') AS disposed USING (sub_account, dt);

SET VARIABLE archive_files = (
    SELECT coalesce(
        list(getvariable('archive_root') || '/' || key ORDER BY key),
        error(
            'no manifest under ' || getvariable('archive_root') || ' lists a file: nothing to read. '
            || 'Is this the archive that SET VARIABLE archive should name, or was all of it disposed of?'))
    FROM files);

-- The rows of every Parquet object under segments/, leftovers of unfinished or lost commits included: a bare scan.
CREATE OR REPLACE TEMP VIEW all_rows AS
SELECT
    coalesce(segment_id, 'sha256:' || sha256(segment_json)) AS segment_key,
    * EXCLUDE (filename),
    regexp_extract(filename, 'segments/v1/[^/]+/[^/]+/[^/]+$') AS file_key
FROM read_parquet(
    getvariable('archive_root') || '/segments/v1/' || getvariable('archive_chain') || '/*/*.parquet',
    filename = true, hive_partitioning = true, hive_types = {sub_account: VARCHAR, dt: VARCHAR});

-- The rows that manifests list, of every revision: exact, whatever else lies in the folders. Other objects are not
-- even opened. `sequence` is the committing manifest's: later commits have greater ones, across days too.
CREATE OR REPLACE TEMP VIEW audited_rows AS
SELECT scanned.*, files.sequence
FROM (
    SELECT
        coalesce(segment_id, 'sha256:' || sha256(segment_json)) AS segment_key,
        * EXCLUDE (filename),
        regexp_extract(filename, 'segments/v1/[^/]+/[^/]+/[^/]+$') AS file_key
    FROM read_parquet(
        getvariable('archive_files'),
        filename = true, hive_partitioning = true, hive_types = {sub_account: VARCHAR, dt: VARCHAR})
) AS scanned
JOIN files ON files.key = scanned.file_key;

-- Objects under segments/ that no manifest lists. They are never deleted, and no view below sees them.
CREATE OR REPLACE TEMP VIEW leftovers AS
SELECT key
FROM (
    SELECT regexp_extract(file, 'segments/v1/[^/]+/.+$') AS key
    FROM glob(getvariable('archive_root') || '/segments/v1/' || getvariable('archive_chain') || '/**')
)
WHERE key NOT IN (SELECT key FROM committed_files);

-- Whether the source answered: only an answer counts against another by its time.
CREATE OR REPLACE TEMP MACRO is_answer(status) AS status IN ('PRESENT', 'EMPTY', 'NOT_FOUND', 'BINARY');

-- One row a segment, known by sub-account and key across all days: metadata of the last commit that has it; of each
-- kind the answer that was fetched last, whatever its revision, and only without any answer the last commit's look.
-- `segment_id` is part of the windows so that a search for one id uses the Bloom filters.
CREATE OR REPLACE TEMP VIEW current_segments AS
SELECT * EXCLUDE (newest, agent, auto) REPLACE (
    agent.agent_status AS agent_status,
    agent.agent_summary AS agent_summary,
    agent.agent_binary AS agent_binary,
    agent.agent_sha256 AS agent_sha256,
    agent.agent_http_status AS agent_http_status,
    agent.agent_content_type AS agent_content_type,
    agent.agent_fetched_at AS agent_fetched_at,
    agent.agent_server_date AS agent_server_date,
    agent.agent_attempts AS agent_attempts,
    agent.agent_error AS agent_error,
    agent.agent_observed_by AS agent_observed_by,
    auto.auto_status AS auto_status,
    auto.auto_summary AS auto_summary,
    auto.auto_binary AS auto_binary,
    auto.auto_sha256 AS auto_sha256,
    auto.auto_http_status AS auto_http_status,
    auto.auto_content_type AS auto_content_type,
    auto.auto_fetched_at AS auto_fetched_at,
    auto.auto_server_date AS auto_server_date,
    auto.auto_attempts AS auto_attempts,
    auto.auto_error AS auto_error,
    auto.auto_observed_by AS auto_observed_by)
FROM (
    SELECT
        *,
        row_number() OVER (PARTITION BY sub_account, segment_id, segment_key ORDER BY sequence DESC) AS newest,
        first_value(struct_pack(
            agent_status, agent_summary, agent_binary, agent_sha256, agent_http_status, agent_content_type,
            agent_fetched_at, agent_server_date, agent_attempts, agent_error, agent_observed_by)) OVER (
                PARTITION BY sub_account, segment_id, segment_key
                ORDER BY is_answer(agent_status) DESC,
                    CASE WHEN is_answer(agent_status) THEN agent_fetched_at END DESC NULLS LAST,
                    CASE WHEN is_answer(agent_status) THEN sequence ELSE -sequence END) AS agent,
        first_value(struct_pack(
            auto_status, auto_summary, auto_binary, auto_sha256, auto_http_status, auto_content_type,
            auto_fetched_at, auto_server_date, auto_attempts, auto_error, auto_observed_by)) OVER (
                PARTITION BY sub_account, segment_id, segment_key
                ORDER BY is_answer(auto_status) DESC,
                    CASE WHEN is_answer(auto_status) THEN auto_fetched_at END DESC NULLS LAST,
                    CASE WHEN is_answer(auto_status) THEN sequence ELSE -sequence END) AS auto
    FROM audited_rows
)
WHERE newest = 1;

-- The same, one row a segment and kind.
CREATE OR REPLACE TEMP VIEW current_answers AS
SELECT
    sub_account, dt, segment_key, segment_id, 'agent' AS kind, agent_status AS status, agent_summary AS summary,
    agent_binary AS body_base64, agent_sha256 AS sha256, agent_http_status AS http_status,
    agent_content_type AS content_type, agent_fetched_at AS fetched_at, agent_server_date AS server_date,
    agent_attempts AS attempts, agent_error AS error, agent_observed_by AS observed_by
FROM current_segments
UNION ALL
SELECT
    sub_account, dt, segment_key, segment_id, 'auto', auto_status, auto_summary, auto_binary, auto_sha256,
    auto_http_status, auto_content_type, auto_fetched_at, auto_server_date, auto_attempts, auto_error,
    auto_observed_by
FROM current_segments;

-- What follows recomputes; a view named *_findings is empty when all holds.

-- Every committed look at a summary, with the SHA-256 of its bytes as they are now.
CREATE OR REPLACE TEMP VIEW recomputed AS
SELECT
    sub_account, dt, revision, file_key, segment_key, kind, status, summary, body_base64, sha256,
    CASE
        WHEN summary IS NOT NULL THEN sha256(summary)
        WHEN body_base64 IS NOT NULL THEN coalesce(sha256(TRY(from_base64(body_base64))), 'not base64')
    END AS recomputed_sha256
FROM (
    SELECT
        sub_account, dt, revision, file_key, segment_key, 'agent' AS kind, agent_status AS status,
        agent_summary AS summary, agent_binary AS body_base64, agent_sha256 AS sha256
    FROM audited_rows
    UNION ALL
    SELECT
        sub_account, dt, revision, file_key, segment_key, 'auto', auto_status, auto_summary, auto_binary, auto_sha256
    FROM audited_rows
);

CREATE OR REPLACE TEMP VIEW hash_findings AS
SELECT
    CASE
        WHEN sha256 IS DISTINCT FROM recomputed_sha256 THEN 'hash-differs'
        ELSE 'status-contradicts-body'
    END AS finding,
    file_key AS object,
    segment_key,
    kind,
    sha256 AS expected,
    recomputed_sha256 AS found
FROM recomputed
WHERE sha256 IS DISTINCT FROM recomputed_sha256
    OR CASE status
        WHEN 'PRESENT' THEN summary IS NULL OR summary = '' OR body_base64 IS NOT NULL
        WHEN 'EMPTY' THEN summary IS DISTINCT FROM '' OR body_base64 IS NOT NULL
        WHEN 'BINARY' THEN summary IS NOT NULL OR body_base64 IS NULL
        ELSE status NOT IN ('NOT_FOUND', 'FAILED', 'SKIPPED', 'NO_ID')
            OR summary IS NOT NULL OR body_base64 IS NOT NULL
    END;

-- Every count of every manifest against the rows: of each file, of each revision, and of each day after its last
-- revision, where the current row of each segment within that day counts.
CREATE OR REPLACE TEMP VIEW count_findings AS
WITH day_records AS (
    SELECT
        sub_account, dt, revision, sequence, key, json -> '$.manifest' AS record,
        sequence = max(sequence) OVER (PARTITION BY sub_account, dt) AS is_last
    FROM manifests
    ANTI JOIN (FROM coverage WHERE state = 'disposed') AS disposed USING (sub_account, dt)
    WHERE kind = 'day'
), scopes AS (
    SELECT key, sequence, 'rows' AS scope, record -> '$.rows' AS tally FROM day_records
    UNION ALL
    SELECT key, sequence, 'day', record -> '$.day' FROM day_records WHERE is_last
), expected AS (
    SELECT scopes.key, scope, one.key AS what, CAST(one.value AS BIGINT) AS n
    FROM scopes, json_each(tally) AS one
    WHERE one.key IN ('segments', 'out_of_day', 'vanished')
    UNION ALL
    SELECT scopes.key, scope, kind || '.' || one.key, CAST(one.value AS BIGINT)
    FROM scopes, (VALUES ('agent'), ('auto')) AS kinds(kind), json_each(tally -> kind) AS one
    UNION ALL
    SELECT key, 'file', 'rows', rows FROM files
), within_day AS (
    SELECT
        sub_account, dt,
        row_number() OVER (PARTITION BY sub_account, dt, segment_key ORDER BY sequence DESC) AS newest,
        out_of_day, vanished,
        first_value(agent_status) OVER (
            PARTITION BY sub_account, dt, segment_key
            ORDER BY is_answer(agent_status) DESC,
                CASE WHEN is_answer(agent_status) THEN agent_fetched_at END DESC NULLS LAST,
                CASE WHEN is_answer(agent_status) THEN sequence ELSE -sequence END) AS agent_status,
        first_value(auto_status) OVER (
            PARTITION BY sub_account, dt, segment_key
            ORDER BY is_answer(auto_status) DESC,
                CASE WHEN is_answer(auto_status) THEN auto_fetched_at END DESC NULLS LAST,
                CASE WHEN is_answer(auto_status) THEN sequence ELSE -sequence END) AS auto_status
    FROM audited_rows
), tallied AS (
    SELECT key, 'rows' AS scope, out_of_day, vanished, agent_status, auto_status
    FROM audited_rows JOIN day_records USING (sub_account, sequence)
    UNION ALL
    SELECT key, 'day', out_of_day, vanished, agent_status, auto_status
    FROM within_day JOIN day_records USING (sub_account, dt)
    WHERE newest = 1 AND is_last
), found AS (
    SELECT key, scope, what, CAST(sum(n) AS BIGINT) AS n
    FROM (
        SELECT key, scope, unnest([
            {what: 'segments', n: 1},
            {what: 'out_of_day', n: CAST(out_of_day AS INTEGER)},
            {what: 'vanished', n: CAST(vanished AS INTEGER)},
            {what: 'agent.' || agent_status, n: 1},
            {what: 'auto.' || auto_status, n: 1}], recursive := true)
        FROM tallied
    )
    GROUP BY ALL
    UNION ALL
    SELECT file_key, 'file', 'rows', count(*) FROM audited_rows GROUP BY file_key
)
SELECT
    'count-differs' AS finding, key AS object, scope || ' ' || what AS what,
    coalesce(expected.n, 0) AS expected, coalesce(found.n, 0) AS found
FROM expected
FULL JOIN found USING (key, scope, what)
WHERE coalesce(expected.n, 0) <> coalesce(found.n, 0)
UNION ALL
-- Exact counts could still hide a segment behind another's repeat.
SELECT 'segment-repeats', any_value(file_key), 'segment ' || segment_key, 1, count(*)
FROM audited_rows
GROUP BY sub_account, dt, revision, segment_key
HAVING count(*) > 1
UNION ALL
SELECT 'file-of-another-day', key, 'listed for ' || sub_account || ' ' || dt || ', revision ' || revision, 1, 0
FROM files
WHERE NOT starts_with(key, format('segments/v1/sub_account={}/dt={}/r{:04d}-p', sub_account, dt, revision));

-- Each chain's links, and the head's coverage against the records of the days. What only a signature shows (a chain
-- written anew) and what lies outside (an end cut off) is not to be seen in SQL.
CREATE OR REPLACE TEMP VIEW chain_findings AS
WITH linked AS (
    SELECT
        *,
        row_number() OVER chain AS place,
        lag(key) OVER chain AS before_key,
        lag(sha256) OVER chain AS before_sha256,
        lag(signed_by) OVER chain AS before_signed_by
    FROM manifests
    WINDOW chain AS (PARTITION BY sub_account ORDER BY sequence)
), last_records AS (
    SELECT sub_account, dt, arg_max(json -> '$.manifest', sequence) AS last
    FROM manifests
    WHERE kind = 'day'
    GROUP BY sub_account, dt
), stated AS (
    SELECT
        sub_account, dt, coverage.state,
        CASE
            WHEN is_disposed THEN 'disposed'
            WHEN last IS NULL THEN 'missing'
            WHEN (last ->> '$.complete') = 'false' THEN 'gaps'
            WHEN (last ->> '$.day.segments') = '0' THEN 'empty'
            ELSE 'complete'
        END AS recomputed
    FROM coverage
    FULL JOIN last_records USING (sub_account, dt)
    LEFT JOIN (SELECT DISTINCT sub_account, dt, true AS is_disposed FROM disposals) AS disposed USING (sub_account, dt)
)
SELECT 'not-a-manifest' AS finding, key AS object, 'no manifest of this place' AS what
FROM manifest_objects
WHERE key NOT IN (SELECT key FROM manifests)
UNION ALL
SELECT 'sequence-gap', key, 'manifest ' || place || ' of its chain is missing' FROM linked WHERE sequence <> place
UNION ALL
SELECT 'previous-differs', key, 'names another object than lies before it'
FROM linked
WHERE (json ->> '$.manifest.previous.key') IS DISTINCT FROM before_key
    OR (json ->> '$.manifest.previous.sha256') IS DISTINCT FROM before_sha256
UNION ALL
SELECT 'signature-missing', key, 'follows a signed manifest'
FROM linked
WHERE signed_by IS NULL AND before_signed_by IS NOT NULL
UNION ALL
SELECT 'archive-differs', key, 'is of archive ' || (json ->> '$.manifest.archive_id')
FROM manifests
WHERE (json ->> '$.manifest.archive_id') IS DISTINCT FROM (
    SELECT archive_id FROM read_json(getvariable('archive_root') || '/archive.json', columns = {archive_id: 'VARCHAR'}))
UNION ALL
SELECT
    'coverage-differs', sub_account || ' ' || dt,
    'the head says ' || coalesce(state, 'nothing') || ', its records ' || recomputed
FROM stated
WHERE state IS DISTINCT FROM recomputed
    -- Which later revisions leave an acknowledgement standing is for `cxvault verify`; here there must be one.
    AND NOT (coalesce(state, '') = 'acknowledged' AND recomputed = 'gaps'
        AND (sub_account, dt) IN (SELECT (sub_account, dt) FROM acknowledgements));

-- The roster's links, and the heads that it has seen; of one sub-account only where that was picked above.
CREATE OR REPLACE TEMP VIEW roster_findings AS
WITH linked AS (
    SELECT
        key, json,
        CAST(json ->> '$.manifest.sequence' AS BIGINT) AS sequence,
        row_number() OVER chain AS place,
        lag(sha256) OVER chain AS before_sha256,
        json ->> '$.signature.public_key' AS signed_by,
        lag(json ->> '$.signature.public_key') OVER chain AS before_signed_by
    FROM roster_objects
    WINDOW chain AS (ORDER BY key)
)
SELECT 'not-a-roster' AS finding, key AS object, 'no record of this place' AS what
FROM linked
WHERE key IS DISTINCT FROM (json ->> '$.manifest.key')
    OR key IS DISTINCT FROM format('roster/v1/{:010d}.json', sequence)
UNION ALL
SELECT 'roster-gap', key, 'record ' || place || ' of the roster is missing' FROM linked WHERE sequence <> place
UNION ALL
SELECT 'roster-previous-differs', key, 'names another object than lies before it'
FROM linked
WHERE (json ->> '$.manifest.previous.sha256') IS DISTINCT FROM before_sha256
UNION ALL
SELECT 'roster-signature-missing', key, 'follows a signed record'
FROM linked
WHERE signed_by IS NULL AND before_signed_by IS NOT NULL
UNION ALL
SELECT
    'roster-head', 'sub_account=' || rosters.sub_account,
    'manifest ' || head_sequence || ' is missing, or not the one that ' || min(rosters.key) || ' has seen'
FROM rosters
LEFT JOIN manifests ON manifests.sub_account = rosters.sub_account AND manifests.sequence = head_sequence
WHERE head_sequence IS NOT NULL AND manifests.sha256 IS DISTINCT FROM head_sha256
    AND rosters.sub_account = coalesce(getvariable('sub_account'), rosters.sub_account)
GROUP BY rosters.sub_account, head_sequence;

-- Every file's bytes, read whole and hashed again: what was changed together with the hashes inside shows here.
CREATE OR REPLACE TEMP VIEW file_findings AS
SELECT
    CASE WHEN found.size = files.bytes THEN 'file-hash-differs' ELSE 'file-size-differs' END AS finding,
    key AS object, files.sha256 AS expected, sha256(found.content) AS found
FROM read_blob(getvariable('archive_files')) AS found
JOIN files ON files.key = regexp_extract(found.filename, 'segments/v1/[^/]+/[^/]+/[^/]+$')
WHERE found.size <> files.bytes OR sha256(found.content) <> files.sha256;

-- All of it in one: empty when everything holds. Look at `verified`, too: an archive without rows has no findings.
CREATE OR REPLACE TEMP VIEW findings AS
SELECT finding, object, what FROM chain_findings
UNION ALL
SELECT finding, object, what FROM roster_findings
UNION ALL
SELECT finding, object, 'expected ' || expected || ', found ' || found FROM file_findings
UNION ALL
SELECT finding, object, what || ': expected ' || expected || ', found ' || found FROM count_findings
UNION ALL
SELECT finding, object, kind || ' summary of ' || segment_key FROM hash_findings;

CREATE OR REPLACE TEMP VIEW verified AS
SELECT
    (SELECT count(DISTINCT sub_account) FROM manifests) AS chains,
    (SELECT count(*) FROM manifests) AS manifests,
    (SELECT count(*) FROM files) AS files,
    (SELECT CAST(sum(bytes) AS BIGINT) FROM files) AS bytes,
    (SELECT count(*) FROM audited_rows) AS "rows",
    (SELECT count(recomputed_sha256) FROM recomputed) AS hashes;
