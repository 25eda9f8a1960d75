"""A night in the bucket that Terraform made: storage.py CXVAULT MINIO WORK [TERRAFORM_FOLDER PLAN.json]

A MinIO server, the storage module applied to it, and the program in the image's own file system with the compose file's
settings: the writer archives a day with no permission but the writer role's, and cannot take anything away; the auditor
verifies it with no permission but its own. Without Terraform, the bucket is made by hand and everybody is root.
"""

import contextlib
import datetime
import json
import os
import pathlib
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import boto3
import botocore.config
import botocore.exceptions
import yaml
from common import INFRA, Findings

PATIENCE = 120
DAY = "2026-11-20"
NOW = "2026-11-21T06:00:00Z"


@contextlib.contextmanager
def server(command, environment=(), **streams):
    """A process that ends with the block, and everything that it started with it."""
    process = subprocess.Popen(
        command, env=os.environ | dict(environment), stdin=subprocess.DEVNULL, start_new_session=True, **streams
    )
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextlib.contextmanager
def minio(binary, work):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
    root = {"MINIO_ROOT_USER": "root-of-the-check", "MINIO_ROOT_PASSWORD": secrets.token_hex(16)}
    command = [binary, "server", "--quiet", "--address", address, str(work / "minio")]
    with open(work / "minio.log", "w") as log:
        with server(command, root | {"MINIO_BROWSER": "off", "MINIO_UPDATE": "off"}, stdout=log, stderr=log) as process:
            url, deadline = f"http://{address}", time.monotonic() + PATIENCE
            while True:
                with contextlib.suppress(OSError):
                    urllib.request.urlopen(f"{url}/minio/health/ready", timeout=5)
                    break
                assert process.poll() is None and time.monotonic() < deadline, (work / "minio.log").read_text()
                time.sleep(0.1)
            yield url, (root["MINIO_ROOT_USER"], root["MINIO_ROOT_PASSWORD"], None)


@contextlib.contextmanager
def simulator(program):
    command = [program, "simulate", "--listen", "127.0.0.1:0", "--now", NOW, "--segments-per-day", "120"]
    for limit in ["summary", "discovery", "token"]:
        command += [f"--{limit}-limits", "off"]
    with server(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        for line in process.stdout:
            if found := re.search(r"http://[\d.]+:\d+", line):
                yield found[0]
                return
        raise AssertionError("the simulator does not say where it listens")


def client(service, url, credentials):
    key, secret, token = credentials
    return boto3.client(
        service, endpoint_url=url, region_name="us-east-1", aws_access_key_id=key, aws_secret_access_key=secret,
        aws_session_token=token, config=botocore.config.Config(s3={"addressing_style": "path"}),
    )


def terraform(folder, url, credentials, *arguments):
    environment = {name: value for name, value in os.environ.items() if name != "TF_CLI_CONFIG_FILE"}
    environment |= {"AWS_ACCESS_KEY_ID": credentials[0], "AWS_SECRET_ACCESS_KEY": credentials[1]}
    variables = [f"-var=endpoint={url}", "-var=bucket=archive"]
    command = ["terraform", *arguments, "-input=false", "-no-color", *variables]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=PATIENCE)
    return done.returncode, done.stdout + done.stderr


def make_bucket(findings, folder, url, root):
    s3 = client("s3", url, root)
    if folder is None:
        s3.create_bucket(Bucket="archive", ObjectLockEnabledForBucket=True)
        return
    code, said = terraform(folder, url, root, "apply", "-auto-approve")
    if code != 0:
        sys.exit(f"terraform apply: {said}")
    code, said = terraform(folder, url, root, "plan", "-detailed-exitcode")
    findings.expect(code == 0, f"terraform would change what it has just made: {said}")
    findings.equal(s3.get_bucket_versioning(Bucket="archive").get("Status"), "Enabled", "the bucket's versioning")
    lock = s3.get_object_lock_configuration(Bucket="archive")["ObjectLockConfiguration"]
    retention = {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 1}}
    findings.equal(lock, {"ObjectLockEnabled": "Enabled", "Rule": retention}, "the bucket's Object Lock")


def session(url, root, policy):
    """Credentials that may do what root may and the policy allows: just as a role's would."""
    sts = client("sts", url, root)
    got = sts.assume_role(RoleArn="arn:aws:iam::1:role/unused", RoleSessionName="checked", Policy=json.dumps(policy))
    got = got["Credentials"]
    return got["AccessKeyId"], got["SecretAccessKey"], got["SessionToken"]


def planned(plan, address):
    """The policy that a resource has in a plan."""
    modules = json.loads(pathlib.Path(plan).read_text())["planned_values"]["root_module"]["child_modules"]
    (found,) = (one for module in modules for one in module["resources"] if one["address"] == f"module.{address}")
    return json.loads(found["values"]["policy"])


def role_policy(plan, name):
    found = planned(plan, f"identity.aws_iam_role_policy.{name}")
    # Its actions are AWS's alone, and MinIO refuses a policy with an action that it does not know.
    found["Statement"] = [one for one in found["Statement"] if one["Sid"] != "PublishNothing"]
    return found


def roles(plan, url, root):
    if plan is None:
        return root, root
    return tuple(session(url, root, role_policy(plan, name)) for name in ["writer", "auditor[0]"])


def under_lock_rule(plan, url, root):
    """The writer where the bucket has `minimum_retention_days`. MinIO applies a bucket's policy to anonymous requests only,
    so that its statement about locks is given to the role: the same engine decides on it. On how long a lock lasts it
    decides for no PUT; those statements are decided on in plan.py."""
    rules = planned(plan, "storage.aws_s3_bucket_policy.archive[0]")["Statement"]
    (rule,) = (one for one in rules if one["Sid"] == "NoUnlockedObject")
    del rule["Principal"]
    policy = role_policy(plan, "writer")
    policy["Statement"].append(rule)
    return session(url, root, policy)


class Image:
    """The program in the image's file system, with the compose file's settings."""

    def __init__(self, program, work, store, ringcx):
        self.root, self.state = work / "root", work / "state"
        self.state.mkdir()
        subprocess.run([INFRA / "image/root-fs", program, self.root], check=True)
        settings = yaml.safe_load((INFRA / "compose/compose.yaml").read_text())["services"]["cxvault"]["environment"]
        places = {"http://minio:9000": store, "http://simulator:8700": ringcx}
        # By name, since that is what the image's own libraries must resolve.
        by_name = lambda url: url.replace("127.0.0.1", "localhost")
        self.settings = {name: by_name(places[value]) if value in places else value for name, value in settings.items()}
        dockerfile = (INFRA / "image/Dockerfile").read_text()
        self.settings |= dict(re.findall(r"^ENV (\w+)=(\S+)$", dockerfile, re.MULTILINE))

    def run(self, credentials, *arguments):
        names = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"]
        environment = self.settings | {name: value for name, value in zip(names, credentials, strict=True) if value}
        command = [INFRA / "checks/in-image", self.root, self.state, *arguments]
        if os.geteuid() != 0:
            command = ["sudo", "--preserve-env", *command]
        environment["PATH"] = os.environ["PATH"]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE)


def last_event(done):
    return json.loads(done.stdout.strip().splitlines()[-1])


def check_night(findings, image, writer, s3):
    first = image.run(writer, "run", "--json", "--date", DAY)
    if first.returncode != 0:
        sys.exit(f"the writer's run ended with {first.returncode}: {first.stdout}{first.stderr}")
    (day,) = last_event(first)["days"]
    findings.equal(day["outcome"], "complete", "the day")
    again = image.run(writer, "run", "--json", "--date", DAY)
    findings.equal(last_event(again)["days"][0]["outcome"], "confirmed", "the day, once more")
    listed = s3.list_object_versions(Bucket="archive")
    versions = listed["Versions"]
    findings.expect("DeleteMarkers" not in listed and len(versions) >= 3, f"objects: {listed}")
    soon = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=23)
    for version in versions:
        head = s3.head_object(Bucket="archive", Key=version["Key"], VersionId=version["VersionId"])
        findings.equal(head.get("ObjectLockMode"), "COMPLIANCE", f"the lock of {version['Key']}")
        findings.expect(head["ObjectLockRetainUntilDate"] > soon, f"{version['Key']}: the lock ends too soon")


def refused(findings, what, request, **arguments):
    try:
        request(Bucket="archive", **arguments)
        findings.expect(False, f"allowed: {what}")
    except botocore.exceptions.ClientError as error:
        # MinIO says so of every locked object.
        locked = "WORM protected" in error.response["Error"].get("Message", "")
        findings.expect(locked or error.response["Error"]["Code"] == "AccessDenied", f"{what}: {error}")


def check_roles(findings, url, writer, auditor, s3):
    version = s3.list_object_versions(Bucket="archive")["Versions"][0]
    key, version = version["Key"], version["VersionId"]
    for name, role in [("writer", client("s3", url, writer)), ("auditor", client("s3", url, auditor))]:
        refused(findings, f"the {name} deletes", role.delete_object, Key=key)
        refused(
            findings, f"the {name} deletes a version", role.delete_object,
            Key=key, VersionId=version, BypassGovernanceRetention=True,
        )
        refused(
            findings, f"the {name} lifts a lock", role.put_object_retention,
            Key=key, VersionId=version, Retention={}, BypassGovernanceRetention=True,
        )
        refused(findings, f"the {name} writes elsewhere", role.put_object, Key="elsewhere", Body=b"")
    refused(findings, "the auditor writes", client("s3", url, auditor).put_object, Key="ringcx/new", Body=b"")


def check_lock_rule(findings, image, url, writer):
    """What the plan's statement about locks lets through, by MinIO's own engine."""
    role = client("s3", url, writer)
    now = datetime.datetime.now(datetime.UTC)
    lock = lambda days: {
        "ObjectLockMode": "COMPLIANCE", "ObjectLockRetainUntilDate": now + datetime.timedelta(days=days),
        "ChecksumAlgorithm": "SHA256",
    }
    put = lambda name, **more: role.put_object(Bucket="archive", Key=f"ringcx/{name}", Body=b"x", **more)
    put("locks/long-enough", **lock(2557))
    put("doctor/brief", **lock(1))
    put("doctor/none")
    for name, more in [
        ("locks/none", {}), ("locks/held-only", {"ObjectLockLegalHoldStatus": "ON"}), ("mydoctor/none", {}),
    ]:
        refused(findings, f"a PUT of {name}", role.put_object, Key=f"ringcx/{name}", Body=b"x", **more)
    tried = image.run(writer, "doctor", "--store-only", "--json")
    failed = [one for line in tried.stdout.splitlines() if (one := json.loads(line)).get("verdict") == "failed"]
    findings.expect(tried.returncode in [0, 3] and not failed, f"doctor under this rule: {tried.stdout}{tried.stderr}")


def main(program, binary, work, folder=None, plan=None):
    findings, work = Findings(), pathlib.Path(work)
    with minio(binary, work) as (store, root), simulator(program) as ringcx:
        make_bucket(findings, folder, store, root)
        image, s3 = Image(program, work, store, ringcx), client("s3", store, root)
        writer, auditor = roles(plan, store, root)
        check_night(findings, image, writer, s3)
        verified = image.run(auditor, "verify", "--level", "deep")
        findings.equal(verified.returncode, 0, f"the auditor's verification: {verified.stdout}{verified.stderr}")
        findings.expect("1 complete" in verified.stdout, f"what was verified: {verified.stdout}")
        if plan is not None:
            check_roles(findings, store, writer, auditor, s3)
            check_lock_rule(findings, image, store, under_lock_rule(plan, store, root))
    findings.end()


main(*sys.argv[1:])
