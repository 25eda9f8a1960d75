"""Parses metrics and traces of cxvault with independent code: read_telemetry.py metrics|traces|otlp-metrics < INPUT

metrics: Prometheus's own parser. traces, otlp-metrics: OTLP/JSON into OpenTelemetry's own messages, which know every
field there is. Each prints JSON.
"""

import base64
import json
import sys

KINDS = ("traceId", "spanId", "parentSpanId")


def metrics(text):
    from prometheus_client.parser import text_string_to_metric_families

    families = list(text_string_to_metric_families(text))
    names = [family.name for family in families]
    assert len(names) == len(set(names)), f"a family stands there twice: {names}"
    seen = [(sample.name, tuple(sorted(sample.labels.items()))) for family in families for sample in family.samples]
    assert len(seen) == len(set(seen)), "a series stands there twice"
    return [
        {
            "name": family.name,
            "type": family.type,
            "help": family.documentation,
            "samples": [{"labels": sample.labels, "value": sample.value} for sample in family.samples],
        }
        for family in families
    ]


def otlp(text, message):
    from google.protobuf import json_format

    def hex_to_base64(value):
        # OTLP/JSON writes ids in hexadecimal, where protobuf's JSON has base64 for all bytes.
        if isinstance(value, list):
            return [hex_to_base64(one) for one in value]
        if isinstance(value, dict):
            return {
                name: base64.b64encode(bytes.fromhex(one)).decode() if name in KINDS else hex_to_base64(one)
                for name, one in value.items()
            }
        return value

    # An unknown field, or a wrong type, is an error.
    parsed = json_format.Parse(json.dumps(hex_to_base64(json.loads(text))), message)
    return json_format.MessageToDict(parsed, use_integers_for_enums=True)


def main(what):
    text = sys.stdin.read()
    if what == "metrics":
        result = metrics(text)
    elif what == "traces":
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        result = otlp(text, ExportTraceServiceRequest())
    else:
        from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

        result = otlp(text, ExportMetricsServiceRequest())
    json.dump(result, sys.stdout)


main(*sys.argv[1:])
