#!/bin/sh
# Checks this folder without cxvault: only jq, sha256sum, ssh-keygen and DuckDB are needed.
# Prints one line for each check. Ends with "ALL CHECKS PASSED" and exit status 0, or with exit status 1; 2 means that a
# program is missing. README.txt explains what each check proves.
set -u
LC_ALL=C
export LC_ALL
cd "$(dirname "$0")" || exit 2
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
failed=0
ok() { printf 'ok    %s\n' "$1"; }
bad() { printf 'FAIL  %s\n' "$1"; failed=1; }
need() {
    command -v "$1" >/dev/null 2>&1 && return
    printf 'This check needs %s: install the package %s.\n' "$1" "$2"
    exit 2
}
need jq jq
need sha256sum coreutils
need ssh-keygen openssh-client
if command -v duckdb >/dev/null 2>&1; then
    sql() { duckdb -noheader -list -c "$(cat check.sql)"; }
elif python3 -c 'import duckdb' >/dev/null 2>&1; then
    sql() { python3 -c 'import duckdb
for row in duckdb.sql(open("check.sql").read()).fetchall(): print("|".join(map(str, row)))'; }
else
    echo 'This check needs DuckDB: its command line program on PATH, or pip install duckdb.'
    exit 2
fi
from=$(jq -r .from range.json)
to=$(jq -r .to range.json)

# 1. The folder is as it was packed.
if sha256sum --quiet -c SHA256SUMS >"$work/sums" 2>&1; then
    ok 'sums: every file has the SHA-256 that was recorded when it was packed'
else
    bad "sums: $(head -n 1 "$work/sums")"
fi
find . -type f ! -path ./SHA256SUMS | sed 's|^\./||' | sort >"$work/there"
sed 's/^[0-9a-f]*  //' SHA256SUMS | sort >"$work/named"
if diff "$work/named" "$work/there" >"$work/diff"; then
    ok 'sums: no file is missing, and none was added'
else
    bad "sums: $(grep '^[<>]' "$work/diff" | head -n 1)"
fi

# 2. Each chain of manifests, and the chain of the roster.
# signature FILE: succeeds if the signature of a record is valid, and by a trusted key where trusted keys are given.
signature() {
    jq -jcS .manifest "$1" >"$work/m"
    jq -r .signature.value "$1" >"$work/s"
    if [ -s allowed_signers ]; then
        who=$(ssh-keygen -Y find-principals -s "$work/s" -f allowed_signers 2>/dev/null | head -n 1)
        [ -n "$who" ] && ssh-keygen -Y verify -f allowed_signers -I "$who" -n cxvault-manifest -s "$work/s" \
            <"$work/m" >/dev/null 2>&1
    else
        ssh-keygen -Y check-novalidate -n cxvault-manifest -s "$work/s" <"$work/m" >/dev/null 2>&1
    fi
}
for folder in manifests/v1/sub_account=*/ roster/v1/; do
    [ "$folder" = roster/v1/ ] && ! grep -q '^roster:' heads.txt && [ ! -d roster ] && continue
    number=0
    previous=null
    signed=0
    before=$failed
    failed=0
    for file in "$folder"*.json; do
        number=$((number + 1))
        expected=$(printf '%s%010d.json' "$folder" "$number")
        [ "$file" = "$expected" ] || { bad "chain: $expected is missing"; break; }
        [ "$(jq -jcS . "$file" | sha256sum)" = "$(sha256sum <"$file")" ] || bad "chain: $file is not in canonical form"
        [ "$(jq -r .manifest.key "$file")" = "$expected" ] || bad "chain: $file is not at the path that it names"
        [ "$(jq -r .manifest.sequence "$file")" = "$number" ] || bad "chain: $file does not have the number $number"
        [ "$(jq -r .manifest.archive_id "$file")" = "$(jq -r .archive_id archive.json)" ] ||
            bad "chain: $file belongs to another archive"
        [ "$(jq -r '.manifest.previous.sha256 // "null"' "$file")" = "$previous" ] ||
            bad "chain: $file does not name the manifest before it"
        previous=$(sha256sum <"$file" | cut -d ' ' -f 1)
        if [ "$(jq -r '.signature == null' "$file")" = false ]; then
            signed=$((signed + 1))
            signature "$file" || bad "signature: the signature of $file is not valid, or is not by a trusted key"
        elif [ "$signed" -gt 0 ]; then
            bad "signature: $file is not signed, but an earlier manifest is"
        fi
    done
    [ "$failed" -eq 0 ] && ok "chain: $folder has $number records without a gap, $signed of them signed"
    grep -q ":$number:$previous\$" heads.txt || bad "chain: the head of $folder is not the one in heads.txt"
    [ "$before" -ne 0 ] && failed=1
done

# The heads that the roster's records name of the chains in this folder.
jq -r '.manifest.sub_accounts[] | select(.head) |
  "\(.head.sha256)  manifests/v1/sub_account=\(.id)/\(("000000000" + (.head.sequence | tostring))[-10:]).json"' \
    roster/v1/*.json 2>/dev/null | sort -u >"$work/rostered"
ls -d manifests/v1/sub_account=*/ >"$work/chains"
grep -F -f "$work/chains" "$work/rostered" >"$work/vouched"
if [ ! -d roster ]; then
    echo 'note  there is no roster, so this folder cannot show whether all records of a sub-account were removed'
elif [ ! -s "$work/vouched" ]; then
    ok 'roster: it names none of the chains in this folder'
elif sha256sum --quiet -c "$work/vouched" >"$work/heads" 2>&1; then
    ok 'roster: each chain contains every head that the roster names of it'
else
    bad "roster: $(head -n 1 "$work/heads")"
fi
others=$(grep -v -F -f "$work/chains" "$work/rostered" | cut -d / -f 3 | sort -u | wc -l)
[ "$others" -gt 0 ] && echo "note  the roster names $others more sub-accounts with manifests, which are not in this folder"
[ -s allowed_signers ] || echo 'note  no trusted keys were given: allowed_signers is empty'

# 3. The statements of each manifest are consistent.
# holds EXPRESSION FILE: fails if jq prints false or cannot evaluate the expression. It succeeds for records of a kind
# that the expression does not select.
holds() {
    answer=$(jq "$1" "$2") || return 1
    [ "$answer" != false ]
}
balance='.manifest | select(.kind == "day") |
  (([.rows.agent[]] | add) == .rows.segments) and (([.rows.auto[]] | add) == .rows.segments) and
  (([.day.agent[]] | add) == .day.segments) and (([.day.auto[]] | add) == .day.segments) and
  (([.files[].rows] | add // 0) == .rows.segments) and
  (([.failures[]] | add // 0) == .rows.agent.FAILED + .rows.auto.FAILED) and
  (if .discovery.from == "windows" then
     (.discovery.objects - .discovery.duplicates) as $listed |
     (if .recheck then $listed <= .day.segments else $listed + .discovery.adopted_only == .rows.segments end) and
     ([.discovery.windows[].objects] | add // 0) == .discovery.objects else true end)'
windows='.manifest | select(.kind == "day" and .discovery.from == "windows") | .window.start as $first | .window.end as $last |
  [.discovery.windows[]] | .[0].start == $first and .[-1].end == $last and
  ([.[].end][:-1] == [.[].start][1:]) and all(.[]; (.server_date // .answered_at) >= .end)'
ran_out='.manifest | select(.kind == "disposal") | .run.finished_at as $at |
  all(.days[]; .lock == null or .lock.retain_until < $at)'
before=$failed
failed=0
for file in manifests/v1/sub_account=*/*.json; do
    holds "$balance" "$file" || bad "counts: the counts of $file are not consistent"
    holds "$windows" "$file" || bad "windows: the windows of $file do not cover the day, or were requested before it was over"
    holds "$ran_out" "$file" || bad "disposal: $file disposes of days that were still locked"
done
[ "$failed" -eq 0 ] && ok 'counts: the counts of every manifest are consistent' &&
    ok 'windows: they cover each day without a gap, and were requested after it was over'
[ "$before" -ne 0 ] && failed=1

# 4. The files of the period are those that the manifests name. Days that were disposed of have no files here.
jq -r --arg from "$from" --arg to "$to" '.manifest | select(.kind == "disposal") | .sub_account as $of |
  .days[] | select(.date >= $from and .date < $to) | "\($of) \(.date)"' manifests/v1/sub_account=*/*.json >"$work/disposed"
[ -s "$work/disposed" ] && echo "note  $(wc -l <"$work/disposed") days of the period were disposed of after their retention"
jq -r --arg from "$from" --arg to "$to" --rawfile disposed "$work/disposed" '.manifest |
  select(.kind == "day" and .date >= $from and .date < $to) | "\(.sub_account) \(.date)" as $day |
  select($disposed | split("\n") | index($day) == null) | .files[] | "\(.sha256)  \(.key)"' manifests/v1/sub_account=*/*.json >"$work/files"
sed 's/^[0-9a-f]*  //' "$work/files" | sort >"$work/listed"
find segments -type f 2>/dev/null | sort >"$work/parts"
if diff "$work/listed" "$work/parts" >"$work/diff"; then
    ok "files: the manifests name $(wc -l <"$work/listed") files, and all of them are here"
else
    bad "files: $(grep '^[<>]' "$work/diff" | head -n 1)"
fi
if [ ! -s "$work/files" ]; then
    ok 'files: there are no segments in the period'
elif sha256sum --quiet -c "$work/files" >"$work/hashes" 2>&1; then
    ok 'files: each has the SHA-256 that its manifest names'
else
    bad "files: $(head -n 1 "$work/hashes")"
fi

# 5. The rows, in SQL: every query must return 0.
if [ -s "$work/parts" ]; then
    if sql >"$work/sql" 2>"$work/error"; then
        while IFS='|' read -r name count; do
            if [ "$count" = 0 ]; then ok "rows: $name"; else bad "rows: $name: not true of $count"; fi
        done <"$work/sql"
    else
        bad "rows: DuckDB cannot read them: $(tail -n 1 "$work/error")"
    fi
fi

if [ "$failed" -eq 0 ]; then
    echo 'ALL CHECKS PASSED'
else
    echo 'SOME CHECKS FAILED'
    exit 1
fi
