"""The service level objectives, and the Prometheus rules that follow from them.

The windows and burn rates are those of the SRE workbook (chapter 5, "Alerting on SLOs"): an alert fires when the error
budget burns too fast over a long window, and still does over a short one, so that it ends soon after the trouble. Over
a budget of 30 days, 14.4 times as fast for an hour is 2 % of it, 6 times for 6 hours is 5 %, 3 times for a day is
10 %, and once for 3 days is 10 %.
"""

# Long window, short window, burn rate, who is called.
ALERTS = [
    ("1h", "5m", "14.4", "page"),
    ("6h", "30m", "6", "page"),
    ("1d", "2h", "3", "ticket"),
    ("3d", "6h", "1", "ticket"),
]
WINDOWS = ["5m", "30m", "1h", "2h", "6h", "1d", "3d"]
# A model that is asked twice an hour would call somebody for one failure: so many are needed in the long window.
AT_LEAST = 5

SLOS = [
    {
        "slo": "availability",
        "alert": "TextNLPAvailabilityBudgetBurn",
        "objective": "0.995",
        "says": "answers that are no error of the server",
        "why": [
            "99.5 % of the HTTP answers of a model's servers are no 5xx. 4xx are the caller's; 429 is how a full server asks to",
            "come again, and has an alert of its own (TextNLPModelQueueFull). A job's workers repeat what failed: what this",
            "protects is callers who do not. 0.5 % leaves room for the 503 of servers that leave during a rollout.",
        ],
        "total": "sum by (namespace, model_name) ({fn}(textnlp_http_responses_total[{window}]))",
        "errors": 'sum by (namespace, model_name) ({fn}(textnlp_http_responses_total{{status=~"5.."}}[{window}]))',
        "what": "{{ $value | humanizePercentage }} of the answers of {{ $labels.model_name }} in {{ $labels.namespace }} are errors of its servers",
    },
    {
        "slo": "first_token",
        "alert": "TextNLPFirstTokenBudgetBurn",
        "objective": "0.95",
        "says": "completions whose first token comes within 5 s",
        "why": [
            "95 % of completions have their first token within 5 s, waiting in the queue included. On two cores, 32 clients at",
            "once, as many as a job has for each server, see 2.6 s at the 95th percentile (docs/performance.md): 5 s is twice",
            "that, so a busy server meets it and one with more work than it can do does not. The aim for people who wait at a",
            "screen (0.2 to 0.5 s) is a line on the dashboard \"performance\"; give them a model that no job fills.",
        ],
        "total": "sum by (namespace, model_name) ({fn}(vllm:time_to_first_token_seconds_count[{window}]))",
        # Prometheus 3 writes the bound as 5.0, Prometheus 2 as the server does.
        "errors": "sum by (namespace, model_name) ({fn}(vllm:time_to_first_token_seconds_count[{window}]))"
                  ' - sum by (namespace, model_name) ({fn}(vllm:time_to_first_token_seconds_bucket{{le=~"5|5[.]0"}}[{window}]))',
        "what": "{{ $value | humanizePercentage }} of the first tokens of {{ $labels.model_name }} in {{ $labels.namespace }} take more than 5 s",
    },
]


def events(slo, part, fn, window):
    return slo[part].format(fn=fn, window=window)


def budget(slo):
    """1 − objective, without the noise of binary fractions."""
    return f"(1 - {slo['objective']})"


def recording(slo):
    """Shares of errors over each window; no sample where nobody asked."""
    yield f"  - name: textnlp-slo-{slo['slo'].replace('_', '-')}"
    yield "    rules:"
    for line in slo["why"]:
        yield f"      # {line}"
    yield "      - record: textnlp:slo_objective:ratio"
    yield f"        expr: vector({slo['objective']})"
    yield f"        labels: {{slo: {slo['slo']}}}"
    for window in WINDOWS:
        total = events(slo, "total", "rate", window)
        yield f"      - record: textnlp:slo_errors:ratio_rate{window}"
        yield "        expr: |"
        yield f"          ({events(slo, 'errors', 'rate', window)} or 0 * {total})"
        yield f"            / ({total} > 0)"
        yield f"        labels: {{slo: {slo['slo']}}}"


def alerts(slo):
    """The four alerts of an objective: all have one name and one runbook."""
    yield f"  - name: textnlp-slo-{slo['slo'].replace('_', '-')}-alerts"
    yield "    rules:"
    for long, short, burn, severity in ALERTS:
        selector = f'{{slo="{slo["slo"]}"}}'
        yield f"      - alert: {slo['alert']}"
        yield "        expr: |"
        yield f"          textnlp:slo_errors:ratio_rate{long}{selector} > {burn} * {budget(slo)}"
        yield f"            and textnlp:slo_errors:ratio_rate{short}{selector} > {burn} * {budget(slo)}"
        yield f"            and on (namespace, model_name) ({events(slo, 'errors', 'increase', long)}) >= {AT_LEAST}"
        yield f"        labels: {{severity: {severity}, window: {long}}}"
        yield "        annotations:"
        yield f"          summary: \"{slo['what']} (over {long})\""
        yield "          description: |-"
        share = f"{float(slo['objective']) * 100:g} %"
        yield f"            The objective is {share} of {slo['says']}, over 30 days. At this rate, seen over {long} and still"
        yield f"            over {short}, the error budget burns {burn} times as fast as it may."
        yield f"          runbook_url: docs/runbooks/{slo['alert']}.md"


def rules():
    """The whole rule file."""
    yield "# Generated from observability/slo.py. Do not edit: change that, then run `make generate`."
    yield "groups:"
    for slo in SLOS:
        yield from recording(slo)
    for slo in SLOS:
        yield from alerts(slo)
