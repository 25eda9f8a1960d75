#!/bin/sh
# Checks this folder without cxvault: only jq, sha256sum, ssh-keygen and DuckDB are needed.
#
#   sh check.sh [-f ALLOWED_SIGNERS] [-I IDENTITY]
#
# -f names a file, in the format of OpenSSH's allowed_signers, with the keys that you trust, from another source than this
# folder; -I the principal of its lines that count (cxvault). Without -f the keys are those that came with this folder, which
# proves only that one owner of these keys signed everything.
#
# Prints one line for each check. Ends with a line that begins with "ALL CHECKS PASSED" and exit status 0, or with exit
# status 1; 2 means that a program is missing. README.txt explains what each check proves.
#
# This script is part of the folder. Before you run it, compare the SHA-256 of the file SHA256SUMS with the digest that
# `cxvault evidence` has printed to whoever made the folder, and run `sha256sum -c SHA256SUMS`.
set -u
LC_ALL=C
export LC_ALL
own_signers=
identity=
while getopts f:I: flag; do
    case $flag in
    f) own_signers=$OPTARG ;;
    I) identity=$OPTARG ;;
    *) exit 2 ;;
    esac
done
if [ -n "$own_signers" ]; then
    [ -s "$own_signers" ] || { printf 'cannot read %s, or it is empty\n' "$own_signers"; exit 2; }
    case $own_signers in /*) ;; *) own_signers=$PWD/$own_signers ;; esac
fi
cd -- "$(dirname -- "$0")" || exit 2
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
failed=0
ok() { printf 'ok    %s\n' "$1"; }
note() { printf 'note  %s\n' "$1"; }
# A text from a file of the folder must not act on the terminal.
bad() { printf 'FAIL  %s\n' "$1" | tr -d '\000-\010\013-\037\177'; failed=1; }
need() {
    command -v "$1" >/dev/null 2>&1 && return
    printf 'This check needs %s: install the package %s.\n' "$1" "$2"
    exit 2
}
need jq jq
need sha256sum coreutils
need ssh-keygen openssh-client

# 1. The folder is as it was packed. Nothing else of it is read or run before that is known.
note "digest of this folder: $(sha256sum <SHA256SUMS | cut -d ' ' -f 1) (of SHA256SUMS; compare it with the one that cxvault evidence printed)"
find . ! -type d ! -type f | head -n 1 >"$work/odd"
if [ -s "$work/odd" ]; then
    bad "sums: $(cat "$work/odd") is neither a file nor a folder"
elif sha256sum --quiet -c SHA256SUMS >"$work/sums" 2>&1; then
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
if [ "$failed" -ne 0 ]; then
    echo 'SOME CHECKS FAILED: the folder was changed after it was packed, so nothing else of it was checked or run'
    exit 1
fi
if command -v duckdb >/dev/null 2>&1; then
    sql() { duckdb -noheader -list -c "$(cat check.sql)"; }
# -I: Python would otherwise take a file of this folder for its module duckdb.
elif python3 -I -c 'import duckdb' >/dev/null 2>&1; then
    sql() { python3 -I -c 'import duckdb
for row in duckdb.sql(open("check.sql").read()).fetchall(): print("|".join(map(str, row)))'; }
else
    echo 'This check needs DuckDB: its command line program on PATH, or pip install duckdb.'
    exit 2
fi
from=$(jq -r .from range.json)
to=$(jq -r .to range.json)

# 2. Whose signatures count: $signers is a file of allowed signers, and $source says where the keys come from.
jq -jcS . archive.json | cmp -s - archive.json || bad 'archive: archive.json is not in canonical form'
archive=$(jq -r .archive_id archive.json)
signers=
cat signers/v1/*.json 2>/dev/null | jq -r '.manifest.keys[]?' >"$work/listed-keys" 2>/dev/null
if [ -n "$own_signers" ]; then
    signers=$own_signers
    source=yours
    identity=${identity:-cxvault}
elif [ -s allowed_signers ]; then
    signers=$PWD/allowed_signers
    source=folder
    identity=${identity:-$(jq -r '.identity // "cxvault"' range.json)}
elif [ "$(jq -r '.signers // [] | length' archive.json)" -gt 0 ] || [ -s "$work/listed-keys" ]; then
    # The keys that archive.json lists, and those that records of signers/v1/ list later.
    signers=$work/allowed_signers
    source=archive
    identity=cxvault
        jq -r '.signers[]' archive.json | cat - "$work/listed-keys" | sort -u | sed 's/^/cxvault /' >"$signers"
else
    source=none
fi

# 3. Each chain of manifests, and the chain of the roster. One call of each program reads a whole chain.
# signature N: succeeds if the signature of the Nth record is valid, and by a trusted key where trusted keys are known.
signature() {
    if [ -n "$signers" ]; then
        ssh-keygen -Y verify -f "$signers" -I "$identity" -n cxvault-manifest -s "$work/chain/s.$1" \
            <"$work/chain/m.$1" >/dev/null 2>&1
    else
        ssh-keygen -Y check-novalidate -n cxvault-manifest -s "$work/chain/s.$1" <"$work/chain/m.$1" >/dev/null 2>&1
    fi
}
all_records=0
all_signed=0
# The links of a chain. Each line has: file, file that jq read, key, sequence, numbers passed over, archive, previous,
# whether it is not signed, SHA-256.
links='
function bad(text) { print text >> out }
{
    number = last + 1 + $5
    expected = sprintf("%s%010d.json", folder, number)
    begun += 0
    if ($1 != expected) { bad("chain: " expected " is missing"); stopped = 1; exit }
    if ($2 != $1) { bad("chain: " $1 " does not hold exactly one record"); stopped = 1; exit }
    if ($3 != $1) bad("chain: " $1 " is not at the path that it names")
    if ($4 != number) bad("chain: " $1 " does not have the number " number)
    if ($6 != archive) bad("chain: " $1 " belongs to another archive")
    if ($7 != before) bad("chain: " $1 " does not name the manifest before it")
    if ($8 == "false") signed++
    else if (number <= begun) { if (number == begun && $9 != begun_sha256) bad("signature: " $1 " is not the record for which the beginning of signing vouches") }
    else if (trusted) bad("signature: " $1 " is not signed, and only signed records count here")
    else if (signed > 0) bad("signature: " $1 " is not signed, but an earlier manifest is")
    last = number
    before = $9
}
END {
    if (!last && !stopped) bad("chain: " folder "0000000001.json is missing")
    print NR, signed + 0, last + 0, before
}'
# The heads up to which a record that began signing vouches for unsigned records: chain, number, SHA-256.
: >"$work/begun"
if [ -d signers ]; then
    jq -r '.manifest | select(.begin == true) | .chains[]? | select(.head) | "\(.id)\t\(.head.sequence)\t\(.head.sha256)"' \
        signers/v1/*.json >"$work/begun" 2>/dev/null
fi
for folder in manifests/v1/sub_account=*/ signers/v1/ roster/v1/; do
    chain=${folder%/v1/}
    case $chain in manifests/*) chain=${folder#*sub_account=}; chain=${chain%/} ;; esac
    [ "$chain" = signers ] && ! grep -q '^signers:' heads.txt && [ ! -d signers ] && continue
    [ "$chain" = roster ] && ! grep -q '^roster:' heads.txt && [ ! -d roster ] && continue
    begun=$(awk -F '\t' -v chain="$chain" '$1 == chain { print $2 " " $3; exit }' "$work/begun")
    before=$failed
    failed=0
    rm -rf "$work/chain" "$work/bad"
    mkdir "$work/chain"
    : >"$work/bad"
    ls "$folder" 2>/dev/null | sed "s|^|$folder|" >"$work/list"
    set --
    while IFS= read -r file; do set -- "$@" "$file"; done <"$work/list"
    if [ "$#" -gt 0 ]; then
        jq -r '[input_filename, .manifest.key, .manifest.sequence, (.manifest.passed_over | if type == "object" then .count else length end),
          .manifest.archive_id, .manifest.previous.sha256 // "null", .signature == null] | @tsv' "$@" >"$work/fields" 2>/dev/null ||
            bad "chain: a record in $folder cannot be read"
        sha256sum "$@" | cut -d ' ' -f 1 >"$work/hashes"
        paste "$work/list" "$work/fields" "$work/hashes" >"$work/table"
        cat "$@" >"$work/stored"
        jq -jcS . "$@" 2>/dev/null | cmp -s - "$work/stored" || bad "chain: a record in $folder is not in canonical form"
    else
        : >"$work/table"
    fi
    awk -F '\t' -v folder="$folder" -v archive="$archive" -v before=null -v trusted="$signers" -v out="$work/bad" \
        -v begun="${begun%% *}" -v begun_sha256="${begun##* }" \
        "$links" "$work/table" >"$work/end"
    while IFS= read -r text; do bad "$text"; done <"$work/bad"
    read -r number signed last head <"$work/end"
    if [ "$signed" -gt 0 ]; then
        jq -cS .manifest "$@" | awk -v to="$work/chain/m." 'BEGIN { ORS = "" } { print > (to NR); close(to NR) }'
        # One line for each record: N where it has no signature, otherwise S and the signature's lines.
        jq -r 'if .signature == null then "N" else "S" + (.signature.value | tostring | split("\n") | join("|")) end' "$@" |
            awk -v to="$work/chain/s." '/^S/ { $0 = substr($0, 2); gsub("[|]", "\n"); print > (to NR); close(to NR) }'
        n=0
        for file in "$@"; do
            n=$((n + 1))
            [ ! -e "$work/chain/s.$n" ] || signature "$n" ||
                bad "signature: the signature of $file is not valid, or is not by a trusted key"
        done
    fi
    all_records=$((all_records + number))
    all_signed=$((all_signed + signed))
    [ "$failed" -eq 0 ] && ok "chain: $folder has $number records without a gap, $signed of them signed"
    grep -q ":$last:$head\$" heads.txt || bad "chain: the head of $folder is not the one in heads.txt"
    [ "$before" -ne 0 ] && failed=1
done

# The heads that the roster's records name of the chains in this folder.
jq -r '.manifest.sub_accounts[] | select(.head) |
  "\(.head.sha256)  manifests/v1/sub_account=\(.id)/\(("000000000" + (.head.sequence | tostring))[-10:]).json"' \
    roster/v1/*.json 2>/dev/null | sort -u >"$work/rostered"
ls -d manifests/v1/sub_account=*/ >"$work/chains"
grep -F -f "$work/chains" "$work/rostered" >"$work/vouched"
if [ ! -d roster ]; then
    note 'there is no roster, so this folder cannot show whether all records of a sub-account were removed'
elif [ ! -s "$work/vouched" ]; then
    ok 'roster: it names none of the chains in this folder'
elif sha256sum --quiet -c "$work/vouched" >"$work/heads" 2>&1; then
    ok 'roster: each chain contains every head that the roster names of it'
else
    bad "roster: $(head -n 1 "$work/heads")"
fi
others=$(grep -v -F -f "$work/chains" "$work/rostered" | cut -d / -f 3 | sort -u | wc -l)
[ "$others" -gt 0 ] && note "the roster names $others more sub-accounts with manifests, which are not in this folder"

# 4. The statements of each manifest are consistent.
# broken EXPRESSION: prints the files for which jq prints false or cannot evaluate the expression. Records of a kind that
# the expression does not select are passed.
broken() {
    jq -r "select((try ($1) catch false) == false) | input_filename" manifests/v1/sub_account=*/*.json || echo 'a file that jq cannot read'
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
broken "$balance" >"$work/balance" 2>/dev/null
broken "$windows" >"$work/windows" 2>/dev/null
broken "$ran_out" >"$work/ran_out" 2>/dev/null
while IFS= read -r file; do bad "counts: the counts of $file are not consistent"; done <"$work/balance"
while IFS= read -r file; do
    bad "windows: the windows of $file do not cover the day, or were requested before it was over"
done <"$work/windows"
while IFS= read -r file; do bad "disposal: $file disposes of days that were still locked"; done <"$work/ran_out"
[ "$failed" -eq 0 ] && ok 'counts: the counts of every manifest are consistent' &&
    ok 'windows: they cover each day without a gap, and were requested after it was over'
[ "$before" -ne 0 ] && failed=1

# 5. The files of the period are those that the manifests name. Days that were disposed of have no files here.
jq -r --arg from "$from" --arg to "$to" '.manifest | select(.kind == "disposal") | .sub_account as $of |
  .days[] | select(.date >= $from and .date < $to) | "\($of) \(.date)"' manifests/v1/sub_account=*/*.json >"$work/disposed"
[ -s "$work/disposed" ] && note "$(wc -l <"$work/disposed") days of the period were disposed of after their retention"
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

# 6. The rows, in SQL: every query must return 0.
if [ -s "$work/parts" ]; then
    if sql >"$work/sql" 2>"$work/error"; then
        while IFS='|' read -r name count; do
            if [ "$count" = 0 ]; then ok "rows: $name"; else bad "rows: $name: not true of $count"; fi
        done <"$work/sql"
    else
        bad "rows: DuckDB cannot read them: $(tail -n 1 "$work/error")"
    fi
fi

# What this says, and what it does not.
note "signatures: $all_signed of $all_records records are signed"
note 'not checked: whether the chains were cut off at their ends (compare heads.txt with heads that were stored elsewhere),'
note 'Merkle roots, and locks and versions in the store; days outside of the period were checked by their records alone'
if [ "$failed" -ne 0 ]; then
    echo 'SOME CHECKS FAILED'
    exit 1
fi
case $source in
yours) echo "ALL CHECKS PASSED: every record is signed by a key that you trust ($identity)" ;;
folder) echo 'ALL CHECKS PASSED, by keys that came with this folder: compare allowed_signers with a key from another source, or use -f' ;;
archive) echo 'ALL CHECKS PASSED, by the keys that archive.json lists: compare them with a key from another source, or use -f' ;;
*) if [ "$all_signed" -gt 0 ]; then
    echo 'ALL CHECKS PASSED, but no trusted keys were given: the signatures are valid, and by whom is not known'
else
    echo 'ALL CHECKS PASSED, but nothing is signed: whoever could write to the archive could have written all of this'
fi ;;
esac
