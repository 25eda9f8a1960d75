"""Whether alerts and dashboard ask for nothing but the metrics that there are: metrics.py PROMTOOL WORK"""

import json
import pathlib
import re
import subprocess
import sys

import yaml
from common import INFRA, Findings
from prometheus_client.parser import text_string_to_metric_families


def documented():
    """Each metric's labels, and for each label the values that stand in the example."""
    metrics = {}
    for family in text_string_to_metric_families((INFRA / "prometheus/metrics.prom").read_text()):
        for sample in family.samples:
            labels = metrics.setdefault(sample.name, {})
            for label, value in sample.labels.items():
                labels.setdefault(label, set()).add(value)
    return metrics


def check_query(findings, metrics, query, where):
    names = set(re.findall(r"\bcxvault_\w+", query))
    findings.expect(names, f"{where}: it asks for no metric of ours: {query}")
    for name in names:
        findings.expect(name in metrics, f"{where}: there is no metric {name}")
    for name, matchers in re.findall(r"\b(cxvault_\w+)\{(.*?)\}", query):
        for label, operator, value in re.findall(r'(\w+)(=~|!~|!=|=)"(.*?)"', matchers):
            known = metrics.get(name, {})
            findings.expect(label in known, f"{where}: {name} has no label {label}")
            # A dashboard's own variable, and what only the archive knows.
            if value.startswith("$") or label in {"sub_account", "code", "status"}:
                continue
            for one in value.split("|"):
                findings.expect(one in known.get(label, ()), f"{where}: no {name} has {label} {one}")
    labels = {label for name in names for label in metrics.get(name, {})}
    for grouped in re.findall(r"\b(?:by|without|ignoring|on) \((.*?)\)", query):
        for label in re.split(r",\s*", grouped):
            findings.expect(label in labels, f"{where}: nothing there has a label {label}")


def check_alerts(findings, metrics):
    rules = yaml.safe_load((INFRA / "prometheus/alerts.yaml").read_text())["groups"][0]["rules"]
    tests = (INFRA / "prometheus/alerts.test.yaml").read_text()
    for rule in rules:
        where = rule["alert"]
        check_query(findings, metrics, rule["expr"], where)
        findings.expect(rule["labels"]["severity"] in {"critical", "warning", "info"}, f"{where}: how severe is it?")
        for part in ["summary", "runbook"]:
            findings.expect(rule["annotations"].get(part), f"{where}: it has no {part}")
        findings.expect(f'alertname="{where}"' in tests, f"{where}: no test sees it fire")


def queries(dashboard):
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            yield f"variable {variable['name']}", variable["query"]["query"]


def check_dashboard(findings, metrics, promtool, work):
    dashboard = json.loads((INFRA / "grafana/cxvault.json").read_text())
    panels = dashboard["panels"]
    findings.equal(len({panel["id"] for panel in panels}), len(panels), "dashboard: panels with an id of their own")
    taken = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        findings.expect(not cells & taken and place["x"] + place["w"] <= 24, f"dashboard: {panel['title']} lies on another")
        taken |= cells
    rules, used = [], set()
    for title, query in queries(dashboard):
        check_query(findings, metrics, query, f"dashboard: {title}")
        used |= set(re.findall(r"\bcxvault_\w+", query))
        if not query.startswith("label_values"):
            rules.append({"record": f"panel:{len(rules)}", "expr": query.replace("$sub_account", ".*")})
    unseen = set(metrics) - used - {"cxvault_last_run_timestamp_seconds"}
    findings.expect(not unseen, f"dashboard: it shows nothing of {', '.join(sorted(unseen))}")
    # The real parser reads each query.
    path = pathlib.Path(work) / "dashboard-queries.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    done = subprocess.run([promtool, "check", "rules", str(path)], capture_output=True, text=True)
    findings.expect(done.returncode == 0, f"dashboard: {done.stdout}{done.stderr}")


def main(promtool, work):
    findings, metrics = Findings(), documented()
    check_alerts(findings, metrics)
    check_dashboard(findings, metrics, promtool, work)
    findings.end()


main(*sys.argv[1:])
