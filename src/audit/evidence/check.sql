WITH rows AS (
    SELECT *, coalesce(nullif(segment_id, ''), 'sha256:' || sha256(segment_json)) AS segment_key
    FROM read_parquet('segments/v1/*/*/*.parquet', hive_partitioning = true, hive_types_autocast = false)
),
looks AS (
    SELECT sub_account, dt, revision, 'agent' AS kind, agent_status AS status, agent_summary AS summary,
           agent_binary AS binary_text, agent_sha256 AS sha256_then FROM rows
    UNION ALL
    SELECT sub_account, dt, revision, 'auto', auto_status, auto_summary, auto_binary, auto_sha256 FROM rows
),
manifests AS (
    SELECT content::JSON -> 'manifest' AS m FROM read_text('manifests/v1/*/*.json')
),
said AS (
    SELECT m ->> '$.sub_account' AS sub_account, m ->> '$.date' AS dt, (m ->> '$.revision')::BIGINT AS revision, kind,
           status, (m ->> ('$.rows.' || kind || '.' || status))::BIGINT AS n
    FROM manifests, (VALUES ('agent'), ('auto')) AS kinds(kind),
         (VALUES ('PRESENT'), ('EMPTY'), ('NOT_FOUND'), ('BINARY'), ('FAILED'), ('SKIPPED'), ('NO_ID')) AS statuses(status)
    WHERE m ->> '$.kind' = 'day' AND m ->> '$.date' >= '{FROM}' AND m ->> '$.date' < '{TO}'
),
disposed AS (
    SELECT m ->> '$.sub_account' AS sub_account, unnest(json_extract_string(m, '$.days[*].date')) AS dt
    FROM manifests WHERE m ->> '$.kind' = 'disposal'
),
counted AS (
    SELECT sub_account, dt, revision, kind, status, count(*) AS n FROM looks GROUP BY ALL
)
SELECT 'each summary has the SHA-256 that was recorded when it was fetched' AS name, count(*) AS wrong
FROM looks
WHERE CASE WHEN status IN ('PRESENT', 'EMPTY') THEN sha256(summary) IS DISTINCT FROM sha256_then
           WHEN status = 'BINARY' THEN sha256(from_base64(binary_text)) IS DISTINCT FROM sha256_then
           ELSE sha256_then IS NOT NULL END
UNION ALL
SELECT 'each status has the text that it comes with', count(*)
FROM looks
WHERE CASE status WHEN 'PRESENT' THEN coalesce(summary, '') = '' WHEN 'EMPTY' THEN summary IS DISTINCT FROM ''
                  WHEN 'BINARY' THEN binary_text IS NULL ELSE summary IS NOT NULL OR binary_text IS NOT NULL END
UNION ALL
SELECT 'no segment stands in a revision twice', count(*)
FROM (SELECT 1 FROM rows GROUP BY sub_account, dt, revision, segment_key HAVING count(*) > 1)
UNION ALL
SELECT 'as many rows of each status as the manifests name', count(*)
FROM (FROM said ANTI JOIN disposed USING (sub_account, dt)) AS said FULL JOIN counted USING (sub_account, dt, revision, kind, status)
WHERE coalesce(said.n, 0) <> coalesce(counted.n, 0)
