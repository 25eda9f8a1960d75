"""What Terraform plans for Amazon, where it cannot be applied here: plan.py PLAN.json EXAMPLE.json

The tables must be those of schemas/athena.sql, which a real engine reads in tests/engines. The policies are decided on
as IAM documents it, for requests that must pass and for those that must not.
"""

import json
import pathlib
import sys

from common import TREE, Findings
from policies import Request, check_words, decide

sys.path.insert(0, str(TREE / "tests/engines"))
import athena  # noqa: E402

TYPES = {"TEXT": "string", "TIMESTAMP": "timestamp", "BIGINT": "bigint", "BOOLEAN": "boolean"}
WRITER = "arn:aws:iam::111122223333:role/cxvault-writer"
AUDITOR = "arn:aws:iam::111122223333:role/cxvault-auditor"
CUSTODIAN = "arn:aws:iam::111122223333:role/cxvault-custodian"
BUCKET = "arn:aws:s3:::archive"
PART = f"{BUCKET}/ringcx/segments/v1/sub_account=99999999/dt=2026-11-20/r0001-p0000.parquet"
DAYS = "s3:object-lock-remaining-retention-days"
HOLD = "s3:object-lock-legal-hold"
MODE = "s3:object-lock-mode"
PROBES = [f"{BUCKET}/ringcx/doctor/1-2", f"{BUCKET}/doctor/1-2"]


class Plan:
    def __init__(self, path):
        root = json.loads(pathlib.Path(path).read_text())["planned_values"]["root_module"]
        self.values = {
            one["address"]: one.get("values", {}) for module in root["child_modules"] for one in module["resources"]
        }

    def of(self, kind):
        return {address: values for address, values in self.values.items() if f".{kind}." in address}

    def policy(self, address):
        return json.loads(self.values[address]["policy"])


def check_tables(findings, plan):
    trees = [athena.parsed(one) for one in athena.statements("archive/ringcx", ["99999999", "88888888"], "2026-11-20")]
    tables = {athena.name(tree): tree for tree in trees if athena.is_table(tree)}
    planned = {values["name"]: values for values in plan.of("aws_glue_catalog_table").values()}
    findings.equal(set(planned), set(tables), "catalog: tables")
    for name, tree in tables.items():
        keys = tree.find(athena.expressions.PartitionedByProperty).this
        pairs = lambda schema: [(one.name, TYPES[one.kind.this.name]) for one in schema.expressions]
        found = lambda columns: [(one["name"], one["type"]) for one in columns]
        storage = planned[name]["storage_descriptor"][0]
        findings.equal(found(storage["columns"]), pairs(tree.this), f"catalog: columns of {name}")
        findings.equal(found(planned[name]["partition_keys"]), pairs(keys), f"catalog: partition keys of {name}")
        expected = athena.properties(tree) | {"EXTERNAL": "TRUE"}
        findings.equal(planned[name]["parameters"], expected, f"catalog: properties of {name}")
        location = tree.find(athena.expressions.LocationProperty).this.name
        findings.equal(storage["location"], location, f"catalog: place of {name}")
        parquet = tree.find(athena.expressions.FileFormatProperty).this.name == "PARQUET"
        serde = storage["ser_de_info"][0]["serialization_library"]
        findings.equal("parquet" in serde and "parquet" in storage["input_format"], parquet, f"catalog: format of {name}")
    views = [athena.name(tree) for tree in trees if not athena.is_table(tree)]
    saved = sorted(values["name"] for values in plan.of("aws_athena_named_query").values())
    findings.equal(saved, [f"cxvault {number:02} {view}" for number, view in enumerate(views, 1)], "catalog: views")
    for values in plan.of("aws_athena_named_query").values():
        findings.equal(athena.name(athena.parsed(values["query"].strip().rstrip(";"))), values["name"].split()[-1], "view")


def requests(plan):
    """Each request, who sends it, and whether it must pass."""
    unlocked = {"s3:if-none-match": "*"}
    once = unlocked | {MODE: "COMPLIANCE", DAYS: 2557}
    manifest = f"{BUCKET}/ringcx/manifests/v1/sub_account=99999999/0000000001.json"
    for arn in [WRITER, CUSTODIAN]:
        yield True, Request(arn, "s3:PutObject", PART, once)
        yield True, Request(arn, "s3:PutObject", manifest, once)
        yield True, Request(arn, "s3:PutObjectRetention", PART, {DAYS: 2557})
        yield True, Request(arn, "s3:PutObjectLegalHold", PART, {HOLD: "ON"})
        # Written over, in parts, copied here: none of these can carry the condition.
        yield False, Request(arn, "s3:PutObject", PART, {})
        # Without a lock, or a legal hold in place of one, whatever the bucket's default would add.
        yield False, Request(arn, "s3:PutObject", PART, unlocked)
        yield False, Request(arn, "s3:PutObject", manifest, unlocked | {HOLD: "ON"})
        for days in [30, 255700]:
            yield False, Request(arn, "s3:PutObjectRetention", PART, {DAYS: days})
            yield False, Request(arn, "s3:PutObject", PART, once | {DAYS: days})
        # A sub-account or a folder whose name only looks like the doctor's.
        for odd in ["segments/v1/sub_account=doctor/dt=2026-11-20/x", "mydoctor/x"]:
            yield False, Request(arn, "s3:PutObject", f"{BUCKET}/ringcx/{odd}", unlocked)
    # `cxvault doctor`: an object that is locked for two minutes, and a damaged one without a lock.
    yield True, Request(WRITER, "s3:PutObject", PROBES[0], once | {DAYS: 0})
    yield True, Request(WRITER, "s3:PutObjectRetention", PROBES[0], {DAYS: 0})
    yield True, Request(WRITER, "s3:PutObject", PROBES[0], unlocked)
    yield False, Request(WRITER, "s3:PutObject", PROBES[0], {})
    yield False, Request(WRITER, "s3:DeleteObject", PROBES[0])
    yield False, Request(WRITER, "s3:PutObjectLegalHold", PART, {HOLD: "OFF"})
    yield False, Request(WRITER, "s3:PutObjectLegalHold", PART)
    yield True, Request(CUSTODIAN, "s3:PutObjectLegalHold", PART, {HOLD: "OFF"})
    yield False, Request(WRITER, "s3:PutObject", f"{BUCKET}/elsewhere", once)
    yield False, Request(AUDITOR, "s3:PutObject", PART, once)
    for arn in [WRITER, CUSTODIAN, AUDITOR]:
        yield True, Request(arn, "s3:GetObject", PART)
        yield True, Request(arn, "s3:GetObjectRetention", PART)
        yield True, Request(arn, "s3:GetObjectLegalHold", PART)
        yield True, Request(arn, "s3:ListBucket", BUCKET)
        yield True, Request(arn, "s3:ListBucketVersions", BUCKET)
        yield False, Request(arn, "s3:GetObject", PART, {"aws:SecureTransport": "false"})
        yield False, Request(arn, "s3:GetObject", PART, {"s3:TlsVersion": "1.1"})
        for action in ["DeleteObject", "DeleteObjectVersion", "BypassGovernanceRetention"]:
            yield False, Request(arn, f"s3:{action}", PART)
        for action in ["PutBucketPolicy", "DeleteBucketPolicy", "PutLifecycleConfiguration", "PutBucketVersioning"]:
            yield False, Request(arn, f"s3:{action}", BUCKET)


def denied_in_any_case():
    """What the writer may not do even where another policy of its role allows everything."""
    for action in [
        "DeleteBucket", "DeleteBucketPolicy", "PutBucketPolicy", "PutBucketVersioning", "PutLifecycleConfiguration",
        "PutBucketObjectLockConfiguration", "PutReplicationConfiguration", "PutBucketPublicAccessBlock", "PutBucketAcl",
        "PutBucketOwnershipControls",
    ]:
        yield Request(WRITER, f"s3:{action}", BUCKET)
    for action in ["DeleteObject", "DeleteObjectVersion", "BypassGovernanceRetention", "PutObjectAcl", "PutObjectVersionAcl"]:
        yield Request(WRITER, f"s3:{action}", PART)
    yield Request(WRITER, "s3:PutObjectLegalHold", PART, {HOLD: "OFF"})
    yield Request(WRITER, "s3:PutObjectLegalHold", PART)


def check_roles(findings, plan):
    bucket = plan.policy("module.storage.aws_s3_bucket_policy.archive[0]")
    role = lambda address: plan.policy(f"module.identity.aws_iam_role_policy.{address}")
    roles = {WRITER: role("writer"), AUDITOR: role("auditor[0]"), CUSTODIAN: role("custodian[0]")}
    for passes, request in requests(plan):
        findings.equal(decide([roles[request.principal], bucket], request), passes, f"policies: {request}")
    # What an administrator is allowed elsewhere is denied here as well.
    everything = {"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    for request in denied_in_any_case():
        findings.expect(not decide([everything, roles[WRITER]], request), f"policies: the writer may: {request}")
    findings.expect(
        decide([everything, roles[WRITER]], Request(WRITER, "s3:PutObjectLegalHold", PART, {HOLD: "ON"})),
        "policies: the writer cannot set a hold",
    )
    admin = "arn:aws:iam::111122223333:role/admin"
    for action, context in [
        ("s3:DeleteObject", {}), ("s3:DeleteObjectVersion", {}), ("s3:BypassGovernanceRetention", {}),
        ("s3:PutObject", {}), ("s3:PutObject", {"s3:if-none-match": "*", MODE: "COMPLIANCE", DAYS: 3000}),
        ("s3:PutObjectRetention", {DAYS: 3000}),
    ]:
        request = Request(admin, action, PART, context)
        findings.expect(not decide([everything, bucket], request), f"policies: an administrator may: {request}")
    findings.expect(decide([everything, bucket], Request(admin, "s3:GetObject", PART)), "policies: no principal can read")


def check_key(findings, plan):
    key = "arn:aws:kms:eu-central-1:111122223333:key/archive"
    role = lambda address: plan.policy(f"module.identity_with_key.aws_iam_role_policy.{address}")
    for policy, action, passes in [
        (role("writer"), "kms:GenerateDataKey", True), (role("writer"), "kms:Decrypt", True),
        (role("auditor[0]"), "kms:Decrypt", True), (role("auditor[0]"), "kms:GenerateDataKey", False),
        (role("writer"), "kms:ScheduleKeyDeletion", False),
    ]:
        findings.equal(decide([policy], Request(WRITER, action, key)), passes, f"policies: {action} of the key")
    # The key's own policy, beside an administrator's.
    everything = {"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    account = "arn:aws:iam::111122223333"
    principals = [WRITER, f"{account}:role/admin", f"{account}:root"]
    own = plan.policy("module.storage.aws_kms_key.archive[0]")
    without_glass = plan.policy("module.storage_expiring.aws_kms_key.archive[0]")
    for action in ["kms:ScheduleKeyDeletion", "kms:DisableKey", "kms:DeleteImportedKeyMaterial"]:
        for principal in principals:
            request = Request(principal, action, key)
            findings.expect(not decide([everything, own], request), f"policies: of the key: {request}")
        glass = Request(f"{account}:role/break-glass", action, key)
        findings.expect(decide([everything, own], glass), f"policies: the break-glass role cannot {action}")
        findings.expect(not decide([everything, without_glass], glass), f"policies: without a break-glass role: {action}")
    for action in ["kms:Decrypt", "kms:GenerateDataKey", "kms:CancelKeyDeletion", "kms:PutKeyPolicy"]:
        request = Request(principals[1], action, key)
        findings.expect(decide([everything, own], request), f"policies: of the key: {request}")


def check_trust(findings, plan):
    trust = json.loads(plan.values["module.identity.aws_iam_role.writer"]["assume_role_policy"])
    issuer = "oidc.example.com/id/CLUSTER"
    token = {f"{issuer}:aud": "sts.amazonaws.com", f"{issuer}:sub": "system:serviceaccount:cxvault:cxvault"}
    action = "sts:AssumeRoleWithWebIdentity"
    for change, passes in [
        ({}, True), ({f"{issuer}:sub": "system:serviceaccount:other:cxvault"}, False),
        ({f"{issuer}:sub": "system:serviceaccount:cxvault:default"}, False), ({f"{issuer}:aud": "other"}, False),
    ]:
        request = Request("token", action, "role", token | change)
        findings.equal(decide([trust], request), passes, f"policies: who becomes the writer: {change}")
    for address, values in plan.of("aws_iam_role").items():
        for statement in json.loads(values["assume_role_policy"])["Statement"]:
            findings.expect("*" not in json.dumps(statement["Principal"]), f"{address}: any principal can assume it")


def check_storage(findings, plan):
    storage = lambda kind: plan.values[f"module.storage.{kind}"]
    findings.expect(storage("aws_s3_bucket.archive")["object_lock_enabled"], "storage: no Object Lock")
    versioning = storage("aws_s3_bucket_versioning.archive")["versioning_configuration"][0]
    findings.equal(versioning["status"], "Enabled", "storage: versioning")
    block = storage("aws_s3_bucket_public_access_block.archive[0]")
    for one in ["block_public_acls", "block_public_policy", "ignore_public_acls", "restrict_public_buckets"]:
        findings.expect(block[one], f"storage: {one}")
    (rule,) = storage("aws_s3_bucket_lifecycle_configuration.archive[0]")["rule"]
    findings.expect(not rule.get("expiration") and not rule.get("noncurrent_version_expiration"), "storage: it expires")


def check_example(findings, example):
    """The example protects also what comes without a lock. Its policies are those that are decided on above."""
    (values,) = example.of("aws_s3_bucket_object_lock_configuration").values()
    (default,) = values["rule"][0]["default_retention"]
    findings.equal((default["mode"], default["days"]), ("COMPLIANCE", 2500), "example: the default retention")


def check_expiry(findings, plan):
    """Data goes after its time, its markers too; a manifest never."""
    address = "module.storage_expiring.aws_s3_bucket_lifecycle_configuration.archive[0]"
    expired, cleared = {}, set()
    for rule in plan.values[address]["rule"]:
        prefix = (rule["filter"] or [{}])[0].get("prefix") or ""
        for one in rule.get("expiration") or []:
            findings.equal(prefix.split("/")[-2:], ["segments", ""], f"storage: what expires by {rule['id']}")
            if one.get("expired_object_delete_marker"):
                cleared.add(prefix)
            else:
                expired[prefix] = (one["days"], rule["noncurrent_version_expiration"][0]["noncurrent_days"])
    findings.equal(expired, {"ringcx/segments/": (2587, 1), "segments/": (2587, 1)}, "storage: what expires, and when")
    findings.equal(cleared, set(expired), "storage: where delete markers are cleared away")


def main(path, example):
    findings, plan = Findings(), Plan(path)
    check_example(findings, Plan(example))
    check_tables(findings, plan)
    check_storage(findings, plan)
    check_expiry(findings, plan)
    check_roles(findings, plan)
    check_key(findings, plan)
    check_trust(findings, plan)
    for address, values in plan.values.items():
        for text in [values.get("policy"), values.get("assume_role_policy")]:
            if text:
                check_words(findings, address, json.loads(text))
    findings.end()


if __name__ == "__main__":
    main(*sys.argv[1:])
