"""Checks a receipt after schemas/FORMAT.md ("Receipts") alone: check_receipt.py RECEIPT...

Python's standard library and ssh-keygen; nothing of cxvault. Prints what is proven, or what does not hold; ends with 1 if
any does not.
"""

import base64
import hashlib
import json
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path

MEMBERS = {
    "receipt_version", "sub_account", "date", "revision", "row", "file", "leaf_index", "path", "chain", "head",
    "later_manifests_of_day",
}


class Refused(Exception):
    pass


def must(holds, what):
    if not holds:
        raise Refused(what)


def unique(pairs):
    must(len({name for name, _ in pairs}) == len(pairs), "a member is named twice")
    return dict(pairs)


def canonical(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def key_of(sub_account, sequence):
    return f"manifests/v1/sub_account={sub_account}/{sequence:010}.json"


def check_chain(receipt):
    """Every manifest at its own place, each naming the one before it; returns (sequence, SHA-256) of each."""
    found = []
    archive_id = receipt["chain"][0]["manifest"]["archive_id"]
    for envelope in receipt["chain"]:
        must(set(envelope) == {"manifest", "signature"}, "members of a manifest's object")
        manifest = envelope["manifest"]
        must(manifest["sub_account"] == receipt["sub_account"], "sub-account of a manifest")
        must(manifest["archive_id"] == archive_id, "archive of a manifest")
        must(manifest["key"] == key_of(receipt["sub_account"], manifest["sequence"]), "key of a manifest")
        if found:
            sequence, digest = found[-1]
            must(manifest["sequence"] == sequence + 1, "a gap in the chain")
            link = {"key": key_of(receipt["sub_account"], sequence), "sha256": digest}
            must(manifest["previous"] == link, "link to the manifest before")
        found.append((manifest["sequence"], sha256(canonical(envelope))))
    return found


def check_signature(envelope):
    signature = envelope["signature"]
    must(set(signature) == {"format", "namespace", "public_key", "value"}, "members of a signature")
    must(signature["format"] == "sshsig" and signature["namespace"] == "cxvault-manifest", "form of a signature")
    with tempfile.NamedTemporaryFile("w") as file:
        file.write(signature["value"])
        file.flush()
        done = subprocess.run(
            ["ssh-keygen", "-Y", "check-novalidate", "-n", "cxvault-manifest", "-s", file.name],
            input=canonical(envelope["manifest"]),
            capture_output=True,
        )
    must(done.returncode == 0, "a signature")
    # The blob's public key stands in clear after the magic and the version (PROTOCOL.sshsig).
    text = "".join(signature["value"].strip().splitlines()[1:-1])
    blob = base64.b64decode(text, validate=True)
    length = int.from_bytes(blob[10:14], "big")
    public_key = blob[14 : 14 + length]
    must(signature["public_key"] == "ssh-ed25519 " + base64.b64encode(public_key).decode(), "key of a signature")
    canonical_armour = base64.b64encode(blob).decode()
    must(text == canonical_armour, "spelling of a signature")


def check_signatures(receipt):
    signed = False
    for envelope in receipt["chain"]:
        must(envelope["signature"] is not None or not signed, "an unsigned manifest after a signed one")
        if envelope["signature"] is not None:
            check_signature(envelope)
            signed = True


def root_by_path(leaf, index, size, path):
    """RFC 9162, 2.1.3.2; the hashes are RFC 6962's."""
    must(0 <= index < size, "leaf_index")
    node, last = index, size - 1
    result = hashlib.sha256(b"\0" + leaf).digest()
    for sibling in map(bytes.fromhex, path):
        must(last > 0, "length of the path")
        if node % 2 == 1 or node == last:
            result = hashlib.sha256(b"\1" + sibling + result).digest()
            while node % 2 == 0 and node != 0:
                node, last = node // 2, last // 2
        else:
            result = hashlib.sha256(b"\1" + result + sibling).digest()
        node, last = node // 2, last // 2
    must(last == 0, "length of the path")
    return result.hex()


def check_row(receipt):
    manifest = receipt["chain"][0]["manifest"]
    must(manifest["kind"] == "day", "kind of the first manifest")
    must(manifest["date"] == receipt["date"] == str(date.fromisoformat(receipt["date"])), "date")
    must(manifest["revision"] == receipt["revision"], "revision")
    files = [file for file in manifest["files"] if file["key"] == receipt["file"]]
    must(len(files) == 1, "file")
    row = receipt["row"]
    must(all(type(value) in (str, int, bool) for value in row.values()), "a value of the row")
    root = root_by_path(canonical(row), receipt["leaf_index"], files[0]["rows"], receipt["path"])
    must(root == files[0]["merkle_root"], "Merkle root")
    for kind in ("agent", "auto"):
        status = row[f"{kind}_status"]
        body = None
        if status in ("PRESENT", "EMPTY"):
            body = row.get(f"{kind}_summary", "").encode()
        elif status == "BINARY":
            body = base64.b64decode(row[f"{kind}_binary"], validate=True)
        must(row.get(f"{kind}_sha256") == (None if body is None else sha256(body)), f"SHA-256 of the {kind} summary")


def check(receipt):
    must(set(receipt) == MEMBERS, "members of the receipt")
    must(receipt["receipt_version"] == 1 and type(receipt["receipt_version"]) is int, "version of the receipt")
    must(len(receipt["chain"]) > 0, "the chain")
    found = check_chain(receipt)
    check_signatures(receipt)
    check_row(receipt)
    sequence, digest = found[-1]
    must(receipt["head"] == f"{receipt['sub_account']}:{sequence}:{digest}", "head")
    later = [
        envelope["manifest"]["sequence"]
        for envelope in receipt["chain"][1:]
        if envelope["manifest"]["kind"] == "day" and envelope["manifest"]["date"] == receipt["date"]
    ]
    must(receipt["later_manifests_of_day"] == later, "later manifests of the day")


def verdict(path):
    try:
        receipt = json.loads(Path(path).read_text(), object_pairs_hook=unique)
        check(receipt)
    except (Refused, KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        return False, f"{path}: does not hold: {error!r}"
    segment = receipt["row"].get("segment_id")
    return True, f"{path}: holds: {segment} in revision {receipt['revision']}, head {receipt['head']}"


def main(paths):
    verdicts = [verdict(path) for path in paths]
    print("\n".join(text for _, text in verdicts))
    sys.exit(0 if all(holds for holds, _ in verdicts) else 1)


if __name__ == "__main__":
    main(sys.argv[1:])
