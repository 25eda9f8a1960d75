-- An archive in Athena (engine version 3), read without cxvault. FORMAT.md, "Reading with SQL",
-- explains each view. Trino reads it with the same views.
--
-- Replace three words, here and nowhere else:
--
--     BUCKET/PREFIX     the place of the archive, as in s3://BUCKET/PREFIX
--     SUB_ACCOUNTS      the sub-accounts, comma-separated, without blanks
--     FIRST_DAY         the first archived day or an earlier one, as 2026-11-20
--
--     sed -e 's#BUCKET/PREFIX#acme-cx-archive/ringcx#; s#SUB_ACCOUNTS#99999999#; s#FIRST_DAY#2026-11-20#' athena.sql
--
-- Athena takes one statement at a time; each ends with a semicolon at the end of a line. No crawler is
-- needed and no partition has to be added: partitions are projected, so that a day can be queried as soon as it is
-- committed. Add a later sub-account by ALTER TABLE ... SET TBLPROPERTIES. Where there are too many of them to be listed, make
-- the projection type of sub_account `injected`: then every query must say WHERE sub_account = '...'.

-- The rows of every object under segments/, leftovers of unfinished or lost commits included: a bare scan.
CREATE EXTERNAL TABLE IF NOT EXISTS all_rows (
    segment_id string,
    dialog_id string,
    interaction_id string,
    sub_account_id string,
    channel_id string,
    channel_type string,
    channel_class string,
    channel_endpoint_address string,
    contact_endpoint_address string,
    dialog_origination string,
    dialog_start_time timestamp,
    dialog_end_time timestamp,
    dialog_duration_ms bigint,
    segment_type string,
    segment_participant_id string,
    segment_participant_rc_extension_id string,
    segment_start_time timestamp,
    segment_end_time timestamp,
    segment_duration_ms bigint,
    segment_agent_group_id string,
    system_disposition string,
    agent_disposition string,
    agent_notes string,
    has_recording boolean, has_transcript boolean,
    segment_events string,
    segment_json string,
    other_answers_json string,
    out_of_day boolean,
    agent_status string,
    agent_summary string,
    agent_binary string,
    agent_sha256 string,
    agent_http_status bigint, agent_content_type string,
    agent_fetched_at timestamp, agent_server_date timestamp,
    agent_attempts bigint,
    agent_error string,
    agent_observed_by string,
    auto_status string,
    auto_summary string,
    auto_binary string,
    auto_sha256 string,
    auto_http_status bigint, auto_content_type string,
    auto_fetched_at timestamp, auto_server_date timestamp,
    auto_attempts bigint,
    auto_error string,
    auto_observed_by string,
    revision bigint,
    discovered_at timestamp,
    discovered_by string,
    vanished boolean
)
PARTITIONED BY (sub_account string, dt string)
STORED AS PARQUET
LOCATION 's3://BUCKET/PREFIX/segments/v1/'
TBLPROPERTIES (
    'projection.enabled' = 'true',
    'projection.sub_account.type' = 'enum',
    'projection.sub_account.values' = 'SUB_ACCOUNTS',
    'projection.dt.type' = 'date',
    'projection.dt.format' = 'yyyy-MM-dd',
    'projection.dt.range' = 'FIRST_DAY,NOW',
    'projection.dt.interval' = '1',
    'projection.dt.interval.unit' = 'DAYS',
    'storage.location.template' = 's3://BUCKET/PREFIX/segments/v1/sub_account=${sub_account}/dt=${dt}/'
);

-- All objects under manifests/. A manifest is one line of canonical JSON without control characters.
CREATE EXTERNAL TABLE IF NOT EXISTS manifest_objects (
    line string
)
PARTITIONED BY (sub_account string)
ROW FORMAT DELIMITED FIELDS TERMINATED BY '\001'
STORED AS TEXTFILE
LOCATION 's3://BUCKET/PREFIX/manifests/v1/'
TBLPROPERTIES (
    'projection.enabled' = 'true',
    'projection.sub_account.type' = 'enum',
    'projection.sub_account.values' = 'SUB_ACCOUNTS',
    'storage.location.template' = 's3://BUCKET/PREFIX/manifests/v1/sub_account=${sub_account}/'
);

-- One row a manifest, in full as JSON text, since each kind of record has its own fields. A manifest names its own
-- place: a copy under another name, or of another chain, is not a manifest.
CREATE OR REPLACE VIEW manifests AS
SELECT *
FROM (
    SELECT
        sub_account,
        CAST(json_extract_scalar(line, '$.manifest.sequence') AS bigint) AS sequence,
        regexp_extract("$path", 'manifests/v1/[^/]+/[^/]+$') AS key,
        json_extract_scalar(line, '$.manifest.kind') AS kind,
        json_extract_scalar(line, '$.manifest.date') AS dt,
        CAST(json_extract_scalar(line, '$.manifest.revision') AS bigint) AS revision,
        CAST(json_extract_scalar(line, '$.manifest.complete') AS boolean) AS complete,
        CAST(from_iso8601_timestamp(json_extract_scalar(line, '$.manifest.run.finished_at')) AS timestamp(3))
            AS finished_at,
        json_extract_scalar(line, '$.signature.public_key') AS signed_by,
        lower(to_hex(sha256(to_utf8(line)))) AS sha256,
        line AS json
    FROM manifest_objects
    WHERE json_extract_scalar(line, '$.manifest.key') = regexp_extract("$path", 'manifests/v1/[^/]+/[^/]+$')
)
WHERE key = 'manifests/v1/sub_account=' || sub_account || '/' || lpad(CAST(sequence AS varchar), 10, '0') || '.json';

-- One row for each day whose gaps were acknowledged: by which record, when and why, and what was missing then.
CREATE OR REPLACE VIEW acknowledgements AS
SELECT
    sub_account,
    json_extract_scalar(day, '$.date') AS dt,
    CAST(json_extract_scalar(day, '$.revision') AS bigint) AS revision,
    CAST(json_extract_scalar(day, '$.agent_failed') AS bigint) AS agent_failed,
    CAST(json_extract_scalar(day, '$.auto_failed') AS bigint) AS auto_failed,
    json_extract_scalar(json, '$.manifest.reason') AS reason,
    json_extract_scalar(json, '$.manifest.by') AS said_by,
    finished_at AS acknowledged_at,
    sequence,
    key
FROM manifests
CROSS JOIN UNNEST(CAST(json_extract(json, '$.manifest.days') AS array(json))) AS days(day)
WHERE kind = 'acknowledgement';

-- One row a day that was disposed of after its retention: by which record, when and why, and how long it had been
-- locked. Its manifests stay; its files may be gone.
CREATE OR REPLACE VIEW disposals AS
SELECT
    sub_account,
    json_extract_scalar(day, '$.date') AS dt,
    CAST(json_extract_scalar(day, '$.revision') AS bigint) AS revision,
    CAST(json_extract_scalar(day, '$.files') AS bigint) AS files,
    CAST(json_extract_scalar(day, '$.bytes') AS bigint) AS bytes,
    json_extract_scalar(day, '$.lock.mode') AS lock_mode,
    CAST(from_iso8601_timestamp(json_extract_scalar(day, '$.lock.retain_until')) AS timestamp(3)) AS retain_until,
    json_extract_scalar(json, '$.manifest.reason') AS reason,
    json_extract_scalar(json, '$.manifest.by') AS said_by,
    finished_at AS disposed_at,
    sequence,
    key
FROM manifests
CROSS JOIN UNNEST(CAST(json_extract(json, '$.manifest.days') AS array(json))) AS days(day)
WHERE kind = 'disposal';

-- One row an archive day: its state as the head of the chain has it, and what its last revision counted.
CREATE OR REPLACE VIEW coverage AS
WITH heads AS (
    SELECT
        sub_account,
        max_by(json_extract_scalar(json, '$.manifest.coverage.first_day'), sequence) AS first_day,
        max_by(json_extract_scalar(json, '$.manifest.coverage.days'), sequence) AS letters
    FROM manifests
    GROUP BY sub_account
), days AS (
    SELECT
        sub_account,
        CAST(date_add('day', i - 1, date(first_day)) AS varchar) AS dt,
        substr(letters, i, 1) AS letter
    FROM heads
    CROSS JOIN UNNEST(sequence(1, length(letters))) AS numbers(i)
), revisions AS (
    SELECT sub_account, dt, count(*) AS revisions, max_by(json, sequence) AS last
    FROM manifests
    WHERE kind = 'day'
    GROUP BY sub_account, dt
)
SELECT
    days.sub_account,
    days.dt,
    CASE letter
        WHEN 'c' THEN 'complete' WHEN 'e' THEN 'empty' WHEN 'g' THEN 'gaps'
        WHEN 'a' THEN 'acknowledged' WHEN 'd' THEN 'disposed' ELSE 'missing'
    END AS state,
    coalesce(revisions, 0) AS revisions,
    CAST(json_extract_scalar(last, '$.manifest.day.segments') AS bigint) AS segments,
    CAST(json_extract_scalar(last, '$.manifest.day.agent.PRESENT') AS bigint) AS agent_present,
    CAST(json_extract_scalar(last, '$.manifest.day.agent.EMPTY') AS bigint) AS agent_empty,
    CAST(json_extract_scalar(last, '$.manifest.day.agent.NOT_FOUND') AS bigint) AS agent_not_found,
    CAST(json_extract_scalar(last, '$.manifest.day.agent.FAILED') AS bigint) AS agent_failed,
    CAST(json_extract_scalar(last, '$.manifest.day.auto.PRESENT') AS bigint) AS auto_present,
    CAST(json_extract_scalar(last, '$.manifest.day.auto.EMPTY') AS bigint) AS auto_empty,
    CAST(json_extract_scalar(last, '$.manifest.day.auto.NOT_FOUND') AS bigint) AS auto_not_found,
    CAST(json_extract_scalar(last, '$.manifest.day.auto.FAILED') AS bigint) AS auto_failed,
    json_extract_scalar(last, '$.manifest.zone') AS zone,
    CAST(from_iso8601_timestamp(json_extract_scalar(last, '$.manifest.window.start')) AS timestamp(3)) AS window_start,
    CAST(from_iso8601_timestamp(json_extract_scalar(last, '$.manifest.window.end')) AS timestamp(3)) AS window_end,
    CAST(from_iso8601_timestamp(json_extract_scalar(last, '$.manifest.run.finished_at')) AS timestamp(3))
        AS committed_at,
    CAST(from_iso8601_timestamp(json_extract_scalar(last, '$.manifest.object_lock.retain_until')) AS timestamp(3))
        AS retain_until
FROM days
LEFT JOIN revisions ON revisions.sub_account = days.sub_account AND revisions.dt = days.dt;

-- One row a committed Parquet file, also of days that were disposed of.
CREATE OR REPLACE VIEW committed_files AS
SELECT
    sub_account, dt, revision, sequence,
    file.key, file.bytes, file.rows, file.sha256, file.merkle_root, file.version_id, file.adopted
FROM manifests
CROSS JOIN UNNEST(CAST(json_extract(json, '$.manifest.files') AS array(row(
    key varchar, bytes bigint, rows bigint, sha256 varchar, merkle_root varchar, version_id varchar, adopted boolean
)))) AS file(key, bytes, rows, sha256, merkle_root, version_id, adopted)
WHERE kind = 'day';

-- Those that must exist. The files of a day that was disposed of may be absent: no view below has rows of them, even
-- where they still exist.
CREATE OR REPLACE VIEW files AS
SELECT committed_files.*
FROM committed_files
LEFT JOIN coverage ON coverage.sub_account = committed_files.sub_account AND coverage.dt = committed_files.dt
WHERE coverage.state IS DISTINCT FROM 'disposed';

-- The rows that manifests list, of every revision: exact in the presence of leftovers. `sequence` is the committing
-- manifest's: later commits have greater ones, across days too. An object that is not Parquet, which cxvault
-- never puts there, stops queries of its day; WHERE path <> 's3://...' skips it.
CREATE OR REPLACE VIEW audited_rows AS
SELECT
    coalesce(segment_id, 'sha256:' || lower(to_hex(sha256(to_utf8(segment_json))))) AS segment_key,
    scanned.*,
    files.sequence
FROM (
    SELECT *, "$path" AS path, regexp_extract("$path", 'segments/v1/[^/]+/[^/]+/[^/]+$') AS file_key
    FROM all_rows
) AS scanned
JOIN files ON files.sub_account = scanned.sub_account AND files.dt = scanned.dt AND files.key = scanned.file_key;

-- Objects under segments/ that hold rows and that no manifest lists. No view below sees them.
CREATE OR REPLACE VIEW leftovers AS
SELECT key
FROM (SELECT DISTINCT regexp_extract("$path", 'segments/v1/[^/]+/.+$') AS key FROM all_rows)
WHERE key NOT IN (SELECT key FROM committed_files);

-- One row a segment, known by sub-account and key across all days: metadata of the last commit that has it; of each
-- kind the answer that was fetched last, whatever its revision, and only without any answer the last commit's look.
-- `segment_id` is part of the windows so that a search for one id uses the Bloom filters.
CREATE OR REPLACE VIEW current_segments AS
SELECT
    segment_key,
    segment_id, dialog_id, interaction_id, sub_account_id, channel_id, channel_type, channel_class,
    channel_endpoint_address, contact_endpoint_address, dialog_origination, dialog_start_time,
    dialog_end_time, dialog_duration_ms, segment_type, segment_participant_id,
    segment_participant_rc_extension_id, segment_start_time, segment_end_time, segment_duration_ms,
    segment_agent_group_id, system_disposition, agent_disposition, agent_notes, has_recording, has_transcript,
    segment_events, segment_json, other_answers_json, out_of_day,
    agent_look.status AS agent_status, agent_look.summary AS agent_summary,
    agent_look.body_base64 AS agent_binary, agent_look.sha256 AS agent_sha256,
    agent_look.http_status AS agent_http_status, agent_look.content_type AS agent_content_type,
    agent_look.fetched_at AS agent_fetched_at, agent_look.server_date AS agent_server_date,
    agent_look.attempts AS agent_attempts, agent_look.error AS agent_error,
    agent_look.observed_by AS agent_observed_by,
    auto_look.status AS auto_status, auto_look.summary AS auto_summary, auto_look.body_base64 AS auto_binary,
    auto_look.sha256 AS auto_sha256, auto_look.http_status AS auto_http_status,
    auto_look.content_type AS auto_content_type, auto_look.fetched_at AS auto_fetched_at,
    auto_look.server_date AS auto_server_date, auto_look.attempts AS auto_attempts,
    auto_look.error AS auto_error, auto_look.observed_by AS auto_observed_by,
    revision, discovered_at, discovered_by, vanished,
    sub_account, dt, path, file_key, sequence
FROM (
    SELECT
        *,
        row_number() OVER (PARTITION BY sub_account, segment_id, segment_key ORDER BY sequence DESC) AS newest,
        first_value(CAST(ROW(
                agent_status, agent_summary, agent_binary, agent_sha256, agent_http_status,
                agent_content_type, agent_fetched_at, agent_server_date, agent_attempts, agent_error,
                agent_observed_by
            ) AS ROW(
                status varchar, summary varchar, body_base64 varchar, sha256 varchar, http_status bigint,
                content_type varchar, fetched_at timestamp(3), server_date timestamp(3), attempts bigint,
                error varchar, observed_by varchar
            ))) OVER (
                PARTITION BY sub_account, segment_id, segment_key
                ORDER BY CASE WHEN agent_status IN ('PRESENT', 'EMPTY', 'NOT_FOUND', 'BINARY') THEN 0 ELSE 1 END,
                    CASE WHEN agent_status IN ('PRESENT', 'EMPTY', 'NOT_FOUND', 'BINARY') THEN agent_fetched_at END
                        DESC NULLS LAST,
                    CASE WHEN agent_status IN ('PRESENT', 'EMPTY', 'NOT_FOUND', 'BINARY')
                        THEN sequence ELSE -sequence END
            ) AS agent_look,
        first_value(CAST(ROW(
                auto_status, auto_summary, auto_binary, auto_sha256, auto_http_status, auto_content_type,
                auto_fetched_at, auto_server_date, auto_attempts, auto_error, auto_observed_by
            ) AS ROW(
                status varchar, summary varchar, body_base64 varchar, sha256 varchar, http_status bigint,
                content_type varchar, fetched_at timestamp(3), server_date timestamp(3), attempts bigint,
                error varchar, observed_by varchar
            ))) OVER (
                PARTITION BY sub_account, segment_id, segment_key
                ORDER BY CASE WHEN auto_status IN ('PRESENT', 'EMPTY', 'NOT_FOUND', 'BINARY') THEN 0 ELSE 1 END,
                    CASE WHEN auto_status IN ('PRESENT', 'EMPTY', 'NOT_FOUND', 'BINARY') THEN auto_fetched_at END
                        DESC NULLS LAST,
                    CASE WHEN auto_status IN ('PRESENT', 'EMPTY', 'NOT_FOUND', 'BINARY')
                        THEN sequence ELSE -sequence END
            ) AS auto_look
    FROM audited_rows
)
WHERE newest = 1;

-- The same, one row a segment and kind.
CREATE OR REPLACE VIEW current_answers AS
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

-- What follows recomputes; a view named *_findings is empty when all holds. The work is spread over the engine's
-- workers: this is the way to verify an archive for which one machine is too small.

-- Every committed look at a summary, with the SHA-256 of its bytes as they are now.
CREATE OR REPLACE VIEW recomputed AS
SELECT
    sub_account, dt, revision, file_key, segment_key, look.kind, look.status, look.summary, look.body_base64,
    look.sha256,
    CASE
        WHEN look.summary IS NOT NULL THEN lower(to_hex(sha256(to_utf8(look.summary))))
        WHEN look.body_base64 IS NOT NULL
            THEN coalesce(lower(to_hex(sha256(TRY(from_base64(look.body_base64))))), 'not base64')
    END AS recomputed_sha256
FROM audited_rows
CROSS JOIN UNNEST(ARRAY[
    ROW('agent', agent_status, agent_summary, agent_binary, agent_sha256),
    ROW('auto', auto_status, auto_summary, auto_binary, auto_sha256)
]) AS look(kind, status, summary, body_base64, sha256);

CREATE OR REPLACE VIEW hash_findings AS
SELECT
    IF(sha256 IS DISTINCT FROM recomputed_sha256, 'hash-differs', 'status-contradicts-body') AS finding,
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
CREATE OR REPLACE VIEW count_findings AS
WITH day_records AS (
    SELECT
        manifests.sub_account, manifests.dt, sequence, key, json,
        sequence = max(sequence) OVER (PARTITION BY manifests.sub_account, manifests.dt) AS is_last
    FROM manifests
    LEFT JOIN coverage ON coverage.sub_account = manifests.sub_account AND coverage.dt = manifests.dt
    WHERE kind = 'day' AND coverage.state IS DISTINCT FROM 'disposed'
), scopes AS (
    SELECT key, 'rows' AS scope, json_extract(json, '$.manifest.rows') AS tally FROM day_records
    UNION ALL
    SELECT key, 'day', json_extract(json, '$.manifest.day') FROM day_records WHERE is_last
), expected AS (
    SELECT key, scope, what, n
    FROM scopes
    CROSS JOIN UNNEST(
        ARRAY['segments', 'out_of_day', 'vanished'],
        ARRAY[
            CAST(json_extract_scalar(tally, '$.segments') AS bigint),
            CAST(json_extract_scalar(tally, '$.out_of_day') AS bigint),
            CAST(json_extract_scalar(tally, '$.vanished') AS bigint)
        ]
    ) AS one(what, n)
    UNION ALL
    SELECT key, scope, 'agent.' || status, n
    FROM scopes
    CROSS JOIN UNNEST(CAST(json_extract(tally, '$.agent') AS map(varchar, bigint))) AS one(status, n)
    UNION ALL
    SELECT key, scope, 'auto.' || status, n
    FROM scopes
    CROSS JOIN UNNEST(CAST(json_extract(tally, '$.auto') AS map(varchar, bigint))) AS one(status, n)
    UNION ALL
    SELECT key, 'file', 'rows', rows FROM files
), within_day AS (
    SELECT
        sub_account, dt, out_of_day, vanished,
        row_number() OVER (PARTITION BY sub_account, dt, segment_key ORDER BY sequence DESC) AS newest,
        first_value(agent_status) OVER (
            PARTITION BY sub_account, dt, segment_key
            ORDER BY CASE WHEN agent_status IN ('PRESENT', 'EMPTY', 'NOT_FOUND', 'BINARY') THEN 0 ELSE 1 END,
                CASE WHEN agent_status IN ('PRESENT', 'EMPTY', 'NOT_FOUND', 'BINARY') THEN agent_fetched_at END
                    DESC NULLS LAST,
                CASE WHEN agent_status IN ('PRESENT', 'EMPTY', 'NOT_FOUND', 'BINARY') THEN sequence ELSE -sequence END
        ) AS agent_status,
        first_value(auto_status) OVER (
            PARTITION BY sub_account, dt, segment_key
            ORDER BY CASE WHEN auto_status IN ('PRESENT', 'EMPTY', 'NOT_FOUND', 'BINARY') THEN 0 ELSE 1 END,
                CASE WHEN auto_status IN ('PRESENT', 'EMPTY', 'NOT_FOUND', 'BINARY') THEN auto_fetched_at END
                    DESC NULLS LAST,
                CASE WHEN auto_status IN ('PRESENT', 'EMPTY', 'NOT_FOUND', 'BINARY') THEN sequence ELSE -sequence END
        ) AS auto_status
    FROM audited_rows
), tallied AS (
    SELECT key, 'rows' AS scope, out_of_day, vanished, agent_status, auto_status
    FROM audited_rows
    JOIN day_records
        ON day_records.sub_account = audited_rows.sub_account AND day_records.sequence = audited_rows.sequence
    UNION ALL
    SELECT key, 'day', out_of_day, vanished, agent_status, auto_status
    FROM within_day
    JOIN day_records ON day_records.sub_account = within_day.sub_account AND day_records.dt = within_day.dt
    WHERE newest = 1 AND is_last
), found AS (
    SELECT key, scope, what, sum(n) AS n
    FROM tallied
    CROSS JOIN UNNEST(
        ARRAY['segments', 'out_of_day', 'vanished', 'agent.' || agent_status, 'auto.' || auto_status],
        ARRAY[1, IF(out_of_day, 1, 0), IF(vanished, 1, 0), 1, 1]
    ) AS one(what, n)
    GROUP BY key, scope, what
    UNION ALL
    SELECT file_key, 'file', 'rows', count(*) FROM audited_rows GROUP BY file_key
)
SELECT
    'count-differs' AS finding,
    coalesce(expected.key, found.key) AS object,
    coalesce(expected.scope, found.scope) || ' ' || coalesce(expected.what, found.what) AS what,
    coalesce(expected.n, 0) AS expected,
    coalesce(found.n, 0) AS found
FROM expected
FULL JOIN found ON found.key = expected.key AND found.scope = expected.scope AND found.what = expected.what
WHERE coalesce(expected.n, 0) <> coalesce(found.n, 0)
UNION ALL
-- Exact counts could still hide a segment behind another's repeat.
SELECT 'segment-repeats', min(file_key), 'segment ' || segment_key, 1, count(*)
FROM audited_rows
GROUP BY sub_account, dt, revision, segment_key
HAVING count(*) > 1
UNION ALL
SELECT
    'file-of-another-day', key,
    'listed for ' || sub_account || ' ' || dt || ', revision ' || CAST(revision AS varchar), 1, 0
FROM files
WHERE NOT regexp_like(
    key,
    '^segments/v1/sub_account=' || sub_account || '/dt=' || dt || '/r0*' || CAST(revision AS varchar) || '-p[0-9]+');

-- Each chain's links, and the head's coverage against the records of the days. What only a signature shows (a chain
-- written anew) and what lies outside (an end cut off) is not to be seen in SQL.
CREATE OR REPLACE VIEW chain_findings AS
WITH linked AS (
    SELECT
        *,
        row_number() OVER (PARTITION BY sub_account ORDER BY sequence) AS place,
        lag(key) OVER (PARTITION BY sub_account ORDER BY sequence) AS before_key,
        lag(sha256) OVER (PARTITION BY sub_account ORDER BY sequence) AS before_sha256,
        lag(signed_by) OVER (PARTITION BY sub_account ORDER BY sequence) AS before_signed_by
    FROM manifests
), last_records AS (
    SELECT sub_account, dt, max_by(json, sequence) AS last
    FROM manifests
    WHERE kind = 'day'
    GROUP BY sub_account, dt
), stated AS (
    SELECT
        coalesce(coverage.sub_account, last_records.sub_account) AS sub_account,
        coalesce(coverage.dt, last_records.dt) AS dt,
        state,
        CASE
            WHEN disposed.dt IS NOT NULL THEN 'disposed'
            WHEN last IS NULL THEN 'missing'
            WHEN json_extract_scalar(last, '$.manifest.complete') = 'false' THEN 'gaps'
            WHEN json_extract_scalar(last, '$.manifest.day.segments') = '0' THEN 'empty'
            ELSE 'complete'
        END AS recomputed
    FROM coverage
    FULL JOIN last_records ON last_records.sub_account = coverage.sub_account AND last_records.dt = coverage.dt
    LEFT JOIN (SELECT DISTINCT sub_account, dt FROM disposals) AS disposed
        ON disposed.sub_account = coalesce(coverage.sub_account, last_records.sub_account)
        AND disposed.dt = coalesce(coverage.dt, last_records.dt)
)
SELECT 'not-a-manifest' AS finding, key AS object, 'no manifest of this place' AS what
FROM (
    SELECT DISTINCT coalesce(regexp_extract("$path", 'manifests/v1/[^/]+/[^/]+$'), "$path") AS key
    FROM manifest_objects
)
WHERE key NOT IN (SELECT key FROM manifests)
UNION ALL
SELECT 'sequence-gap', key, 'manifest ' || CAST(place AS varchar) || ' of its chain is missing'
FROM linked
WHERE sequence <> place
UNION ALL
SELECT 'previous-differs', key, 'names another object than lies before it'
FROM linked
WHERE json_extract_scalar(json, '$.manifest.previous.key') IS DISTINCT FROM before_key
    OR json_extract_scalar(json, '$.manifest.previous.sha256') IS DISTINCT FROM before_sha256
UNION ALL
SELECT 'signature-missing', key, 'follows a signed manifest'
FROM linked
WHERE signed_by IS NULL AND before_signed_by IS NOT NULL
UNION ALL
SELECT 'archive-differs', key, 'is of archive ' || json_extract_scalar(json, '$.manifest.archive_id')
FROM manifests
WHERE json_extract_scalar(json, '$.manifest.archive_id') <> (
    SELECT min(json_extract_scalar(json, '$.manifest.archive_id')) FROM manifests)
UNION ALL
SELECT
    'coverage-differs', sub_account || ' ' || dt,
    'the head says ' || coalesce(state, 'nothing') || ', its records ' || recomputed
FROM stated
WHERE state IS DISTINCT FROM recomputed
    -- Which later revisions leave an acknowledgement standing is for `cxvault verify`; here there must be one.
    AND NOT (coalesce(state, '') = 'acknowledged' AND recomputed = 'gaps'
        AND sub_account || ' ' || dt IN (SELECT sub_account || ' ' || dt FROM acknowledgements));

-- All of it in one: empty when everything holds. Look at `verified`, too: an archive without rows has no findings.
CREATE OR REPLACE VIEW findings AS
SELECT finding, object, what FROM chain_findings
UNION ALL
SELECT finding, object, what || ': expected ' || CAST(expected AS varchar) || ', found ' || CAST(found AS varchar)
FROM count_findings
UNION ALL
SELECT finding, object, kind || ' summary of ' || segment_key FROM hash_findings;

CREATE OR REPLACE VIEW verified AS
SELECT
    (SELECT count(DISTINCT sub_account) FROM manifests) AS chains,
    (SELECT count(*) FROM manifests) AS manifests,
    (SELECT count(*) FROM files) AS files,
    (SELECT sum(bytes) FROM files) AS bytes,
    (SELECT count(*) FROM audited_rows) AS rows,
    (SELECT count(recomputed_sha256) FROM recomputed) AS hashes;
