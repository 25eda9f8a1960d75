"""Whether the systemd units, the cron file and the compose file fit the program, and which images are pulled: hosts.py
CXVAULT WORK"""

import os
import pathlib
import re
import shlex
import sys

import yaml
from common import INFRA, Findings, check_command_line, check_settings, documented_exit_codes, signing_key, with_secrets

# Minute, hour, day of the month, month, day of the week: lowest and highest.
FIELDS = [(0, 59), (0, 23), (1, 31), (1, 12), (0, 7)]


def settings_of(unit, name):
    return [line.split("=", 1)[1] for line in unit.splitlines() if line.startswith(f"{name}=")]


def check_service(findings, program, work):
    unit = (INFRA / "systemd/cxvault.service").read_text()
    (command,) = settings_of(unit, "ExecStart")
    executable, *arguments = shlex.split(command)
    findings.equal(executable, "/usr/local/bin/cxvault", "cxvault.service: the program's place")
    check_command_line(findings, program, arguments, "cxvault.service")
    (again,) = settings_of(unit, "RestartForceExitStatus")
    findings.equal({int(code) for code in again.split()}, {5, 11}, "cxvault.service: codes that are tried again")
    findings.expect({5, 11} <= documented_exit_codes(), "cxvault.service: 5 and 11 are no exit codes any more")
    credentials = dict(one.split(":", 1) for one in settings_of(unit, "LoadCredential"))
    folder = with_secrets(work / "credentials")
    signing_key(program, folder)
    environment = {}
    for assignment in settings_of(unit, "Environment"):
        name, value = assignment.split("=", 1)
        if value.startswith("%d/"):
            findings.expect(value[3:] in credentials, f"cxvault.service: {name} names no loaded credential: {value}")
        environment[name] = value.replace("%d", str(folder)).replace("%S", str(work))
    # The administrator's own file is there only in earnest.
    findings.equal(environment.pop("CXVAULT_CONFIG"), "/etc/cxvault/config.toml", "cxvault.service: the settings' place")
    environment |= {"CXVAULT_ARCHIVE": "s3://acme-cx-archive/ringcx", "CXVAULT_CLIENT_ID": "made-up"}
    check_settings(findings, program, environment | {"HOME": str(work)}, "cxvault.service")


def is_field(text, lowest, highest):
    """Whether cron takes this as one field: `*`, numbers, ranges, steps, and lists of these."""
    for part in text.split(","):
        found = re.fullmatch(r"(?:\*|(\d+)(?:-(\d+))?)(?:/(\d+))?", part)
        if not found:
            return False
        numbers = [int(number) for number in found.groups()[:2] if number]
        if any(not lowest <= number <= highest for number in numbers) or numbers != sorted(numbers):
            return False
    return True


def check_cron(findings, program):
    text = (INFRA / "cron/cxvault").read_text()
    findings.expect(text.endswith("\n"), "cron: the last line has no end, and cron would pass it over")
    jobs = [line for line in text.splitlines() if line and not re.match(r"#|\w+=", line)]
    findings.equal(len(jobs), 1, "cron: lines that run something")
    for line in jobs:
        *times, user, command = line.split(None, 6)
        for field, (lowest, highest) in zip(times, FIELDS, strict=True):
            findings.expect(is_field(field, lowest, highest), f"cron: {field} is no field of a time")
        findings.expect(re.fullmatch(r"[a-z_][a-z0-9_-]*", user), f"cron: {user} is no user")
        # Outside quotes, cron ends a command at a percent sign.
        findings.expect("%" not in command, "cron: a percent sign ends the command")
        executable, *arguments = shlex.split(command.split(" >>")[0])
        findings.equal(executable, "cxvault", "cron: the program")
        check_command_line(findings, program, arguments, "cron")


def check_compose(findings, program):
    services = yaml.safe_load((INFRA / "compose/compose.yaml").read_text())["services"]
    ours = {name: service for name, service in services.items() if "build" in service}
    findings.equal(set(ours), {"simulator", "cxvault"}, "compose: services of our image")
    for name, service in ours.items():
        findings.expect(service["read_only"], f"compose/{name}: its file system can be written")
        dockerfile = (INFRA / "compose" / service["build"]["context"] / service["build"]["dockerfile"]).resolve()
        findings.expect(dockerfile.is_file(), f"compose/{name}: there is no {dockerfile}")
        check_command_line(findings, program, service["command"], f"compose/{name}")
    minio, cxvault = services["minio"]["environment"], services["cxvault"]["environment"]
    same = (minio["MINIO_ROOT_USER"], minio["MINIO_ROOT_PASSWORD"])
    findings.equal((cxvault["AWS_ACCESS_KEY_ID"], cxvault["AWS_SECRET_ACCESS_KEY"]), same, "compose: credentials")
    check_settings(findings, program, cxvault | {"HOME": os.devnull}, "compose/cxvault")


def check_images(findings):
    """Whatever is pulled is named by digest; the program's own image is built, and named by whoever deploys it."""
    named = []
    for path in sorted(path for path in INFRA.rglob("*") if path.is_file() and path.suffix in ["", ".yaml"]):
        found = re.findall(r"^(?:FROM|ARG BASE=|\s*image:)\s*([^\s$][^\s]*)", path.read_text(), re.MULTILINE)
        named += [(path.relative_to(INFRA), image) for image in found]
    findings.expect(len(named) >= 6, f"images: {named}")
    for path, image in named:
        own = image == "scratch" or image.split(":")[0] == "cxvault"
        findings.expect(own or re.search(r"@sha256:[0-9a-f]{64}$", image), f"{path}: {image} is not named by digest")


def main(program, work):
    findings = Findings()
    check_service(findings, program, pathlib.Path(work))
    check_cron(findings, program)
    check_compose(findings, program)
    check_images(findings)
    findings.end()


main(*sys.argv[1:])
