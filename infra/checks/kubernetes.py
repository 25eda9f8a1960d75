"""Whether the rendered manifests fit each other, the program and its exit codes: kubernetes.py CXVAULT WORK RENDERED..."""

import pathlib
import sys
import tomllib

import yaml
from common import (
    Findings, check_command_line, check_settings, documented_exit_codes, knows_command, signing_key, with_secrets,
)

SECRETS = "/run/secrets/cxvault"
# Created by hand, so that no file contains a secret.
BY_HAND = {("Secret", "cxvault")}
# Only of these is it true that trying again may help.
AGAIN = {5, 11}


def jobs(resources):
    for one in resources:
        if one["kind"] == "Job":
            yield one["metadata"]["name"], one["spec"]
        elif one["kind"] == "CronJob":
            yield one["metadata"]["name"], one["spec"]["jobTemplate"]["spec"]


def named_by(pod):
    """What a pod needs to be there."""
    yield "ServiceAccount", pod["serviceAccountName"]
    for volume in pod["volumes"]:
        if "configMap" in volume:
            yield "ConfigMap", volume["configMap"]["name"]
        if "secret" in volume:
            yield "Secret", volume["secret"]["secretName"]
        if "persistentVolumeClaim" in volume:
            yield "PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]


def check_exit_codes(findings, where, spec):
    listed = [
        code
        for rule in spec["podFailurePolicy"]["rules"] if "onExitCodes" in rule
        for code in rule["onExitCodes"]["values"]
    ]
    findings.equal(sorted(listed), sorted(documented_exit_codes() - AGAIN - {0}), f"{where}: codes that end the job")
    again = spec.get("backoffLimit", 0) or spec.get("backoffLimitPerIndex", 0)
    findings.expect(again > 1, f"{where}: exit 5 and 11 are not tried again")
    disrupted = [rule for rule in spec["podFailurePolicy"]["rules"] if "onPodConditions" in rule]
    findings.equal([rule["action"] for rule in disrupted], ["Ignore"], f"{where}: what a drained node does")


def check_pod(findings, where, pod, program, settings, known):
    for reference in named_by(pod):
        findings.expect(reference in known, f"{where}: there is no {' '.join(reference)}")
    findings.expect(pod["terminationGracePeriodSeconds"] >= 60, f"{where}: SIGTERM is given too little time")
    (container,) = pod["containers"]
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    findings.equal(set(mounts), {volume["name"] for volume in pod["volumes"]}, f"{where}: mounted volumes")
    findings.equal(mounts["state"], "/var/lib/cxvault", f"{where}: the state's place")
    findings.equal(mounts["secrets"], SECRETS, f"{where}: the secrets' place")
    arguments = container["args"]
    environment = {one["name"]: one["value"] for one in container["env"]}
    if not knows_command(program, arguments):
        # Its settings are of the same build, too.
        print(f"not checked: {where}: this cxvault has no command {arguments[0]}")
        return
    check_command_line(findings, program, arguments, where)
    findings.equal(environment["CXVAULT_CONFIG"], "/etc/cxvault/config.toml", f"{where}: the settings' place")
    check_settings(findings, program, environment | {"CXVAULT_CONFIG": str(settings)}, where)


def check_network(findings, where, resources):
    (policy,) = [one["spec"] for one in resources if one["kind"] == "NetworkPolicy"]
    findings.equal(policy["ingress"], [], f"{where}: what may connect to it")
    ports = {(port["port"], port["protocol"]) for rule in policy["egress"] for port in rule["ports"]}
    findings.equal(ports, {(53, "UDP"), (53, "TCP"), (443, "TCP")}, f"{where}: where it may connect to")
    for name, spec in jobs(resources):
        labels = spec["template"]["metadata"]["labels"]
        chosen = policy["podSelector"]["matchLabels"].items() <= labels.items()
        findings.expect(chosen, f"{where}: the network policy does not hold for {name}")


def check_nightly(findings, where, resources):
    (cron,) = [one["spec"] for one in resources if one["kind"] == "CronJob"]
    (config,) = [one["data"]["config.toml"] for one in resources if one["kind"] == "ConfigMap"]
    zones = {account["time_zone"] for account in tomllib.loads(config)["account"]}
    findings.equal(zones, {cron["timeZone"]}, f"{where}: the schedule's zone")
    findings.equal(cron["concurrencyPolicy"], "Forbid", f"{where}: two nights at once")
    findings.expect(0 < cron["jobTemplate"]["spec"]["activeDeadlineSeconds"] < 86400, f"{where}: a run may hang")
    findings.expect(cron["startingDeadlineSeconds"] >= 3600, f"{where}: a night is lost with an hour's outage")


def check_shards(findings, where, resources):
    for _, spec in jobs(resources):
        (container,) = spec["template"]["spec"]["containers"]
        (shards,) = [one["value"] for one in container["env"] if one["name"] == "CXVAULT_SHARDS"]
        findings.equal(shards, str(spec["completions"]), f"{where}: shards")
        findings.equal(spec["completionMode"], "Indexed", f"{where}: how it is divided")


def settings_file(resources, program, work):
    """The ConfigMap's settings, with made-up secrets in place of the mounted ones."""
    (config,) = [one["data"]["config.toml"] for one in resources if one["kind"] == "ConfigMap"]
    secrets = with_secrets(work / "secrets")
    signing_key(program, secrets)
    path = work / "config.toml"
    path.write_text(config.replace(SECRETS, str(secrets)))
    return path


def main(program, work, *rendered):
    findings, work = Findings(), pathlib.Path(work)
    folders = {}
    for path in map(pathlib.Path, rendered):
        folders[path.stem] = [one for one in yaml.safe_load_all(path.read_text()) if one]
    settings = settings_file(folders["nightly"], program, work)
    nightly = {(one["kind"], one["metadata"]["name"]) for one in folders["nightly"]}
    for folder, resources in folders.items():
        own = {(one["kind"], one["metadata"]["name"]) for one in resources}
        findings.expect(not any(kind == "Secret" for kind, _ in own), f"{folder}: a file contains a Secret")
        # A backfill lives beside the nightly run, and uses what that brought.
        known = own | BY_HAND | (nightly if folder == "backfill" else set())
        for name, spec in jobs(resources):
            check_exit_codes(findings, f"{folder}/{name}", spec)
            check_pod(findings, f"{folder}/{name}", spec["template"]["spec"], program, settings, known)
        if folder == "backfill":
            check_shards(findings, folder, resources)
        else:
            check_nightly(findings, folder, resources)
            check_network(findings, folder, resources)
    findings.end()


main(*sys.argv[1:])
