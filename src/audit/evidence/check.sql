-- Checks the rows of the Parquet files: each query returns the name of a rule and the number of rows that break it.
-- The period's bounds are filled in when the folder is packed.
WITH rows AS (
    SELECT *, coalesce(nullif(segment_id, ''), 'sha256:' || sha256(segment_json)) AS segment_key
    FROM read_parquet('segments/v1/*/*/*.parquet', hive_partitioning = true, hive_types_autocast = false)
),
-- One row for each summary.
observations AS (
    SELECT sub_account, dt, revision, 'agent' AS kind, agent_status AS status, agent_summary AS summary,
           agent_binary AS binary_text, agent_sha256 AS recorded_sha256 FROM rows
    UNION ALL
    SELECT sub_account, dt, revision, 'auto', auto_status, auto_summary, auto_binary, auto_sha256 FROM rows
),
manifests AS (
    SELECT content::JSON -> 'manifest' AS m FROM read_text('manifests/v1/*/*.json')
),
-- The number of rows of each status that the manifests of the period name.
expected AS (
    SELECT m ->> '$.sub_account' AS sub_account, m ->> '$.date' AS dt, (m ->> '$.revision')::BIGINT AS revision, kind,
           status, (m ->> ('$.rows.' || kind || '.' || status))::BIGINT AS n
    FROM manifests, (VALUES ('agent'), ('auto')) AS kinds(kind),
         (VALUES ('PRESENT'), ('EMPTY'), ('NOT_FOUND'), ('BINARY'), ('FAILED'), ('SKIPPED'), ('NO_ID')) AS statuses(status)
    WHERE m ->> '$.kind' = 'day' AND m ->> '$.date' >= '{FROM}' AND m ->> '$.date' < '{TO}'
),
-- Days that were disposed of: this folder has no files of them.
disposed AS (
    SELECT m ->> '$.sub_account' AS sub_account, unnest(json_extract_string(m, '$.days[*].date')) AS dt
    FROM manifests WHERE m ->> '$.kind' = 'disposal'
),
counted AS (
    SELECT sub_account, dt, revision, kind, status, count(*) AS n FROM observations GROUP BY ALL
)
SELECT 'each summary has the SHA-256 that was recorded when it was fetched' AS name, count(*) AS wrong
FROM observations
WHERE CASE WHEN status IN ('PRESENT', 'EMPTY') THEN sha256(summary) IS DISTINCT FROM recorded_sha256
           WHEN status = 'BINARY' THEN sha256(from_base64(binary_text)) IS DISTINCT FROM recorded_sha256
           ELSE recorded_sha256 IS NOT NULL END
UNION ALL
SELECT 'each summary has a text if its status says so, and only then', count(*)
FROM observations
WHERE CASE status WHEN 'PRESENT' THEN coalesce(summary, '') = '' WHEN 'EMPTY' THEN summary IS DISTINCT FROM ''
                  WHEN 'BINARY' THEN binary_text IS NULL ELSE summary IS NOT NULL OR binary_text IS NOT NULL END
UNION ALL
SELECT 'no segment occurs twice in a revision', count(*)
FROM (SELECT 1 FROM rows GROUP BY sub_account, dt, revision, segment_key HAVING count(*) > 1)
UNION ALL
SELECT 'there are as many rows of each status as the manifests name', count(*)
FROM (FROM expected ANTI JOIN disposed USING (sub_account, dt)) AS expected FULL JOIN counted USING (sub_account, dt, revision, kind, status)
WHERE coalesce(expected.n, 0) <> coalesce(counted.n, 0)
