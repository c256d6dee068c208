"""Usage: who used what: tokens, requests and rows by namespace, model, job and key."""

import grafana
from grafana import BLUE, bars, row, stat, table, timeseries
from variables import JOB, JOB_LABELS, JOBS, MODEL, NAMESPACE, SERVERS

TOKENS = [("vllm:prompt_tokens_total", "prompt"), ("vllm:generation_tokens_total", "completion")]


def in_range(counter, matchers, by):
    return f"sum by ({by}) (increase({counter}{{{matchers}}}[$__range]))"


# What tells the series of a job's figures apart, beside the job.
OWN_LABELS = {"textnlp_job_rows": ", outcome", "textnlp_job_tokens": ", modeldeployment, kind", "textnlp_job_requests": ""}


def of_jobs(gauge, by, extra=""):
    """The last value of a job's figure within the range, also of jobs that are deleted by now, counted once."""
    return f"""sum by ({by}) (
        max by ({JOB_LABELS}{OWN_LABELS[gauge]}) (last_over_time({gauge}{{{JOBS}{extra}}}[$__range])))"""


TOTALS = row(
    "In this range",
    stat("Tokens generated", "By all servers, whoever asked.", (f"sum(increase(vllm:generation_tokens_total{{{SERVERS}}}[$__range]))", "tokens"),
         decimals=1),
    stat("Tokens of prompts", "By all servers, those found in the KV cache included.",
         (f"sum(increase(vllm:prompt_tokens_total{{{SERVERS}}}[$__range]))", "tokens"), decimals=1),
    stat("Calls", "HTTP answers of all servers.", (f"sum(increase(textnlp_http_responses_total{{{SERVERS}}}[$__range]))", "calls"), decimals=1),
    stat("Jobs", "Jobs that were there in this range.",
         (f"count(max by ({JOB_LABELS}) (last_over_time(textnlp_job_start_timestamp_seconds{{{JOBS}}}[$__range])))", "jobs"),
         thresholds=[(None, BLUE)]),
    stat("Rows accepted", "Rows of datasets of jobs in this range.",
         (f"sum(max by ({JOB_LABELS}) (last_over_time(textnlp_job_rows{{{JOBS}, outcome=\"accepted\"}}[$__range])))", "rows"),
         decimals=1),
    stat("Used by jobs", "Share of the time that completions were in flight, which was spent for jobs' workers.",
         (f"""sum(increase(textnlp_request_inflight_seconds_total{{{SERVERS}, source="job"}}[$__range]))
              / (sum(increase(textnlp_request_inflight_seconds_total{{{SERVERS}}}[$__range])) > 0)""", "jobs"), unit="percentunit", decimals=1),
)

MODELS = row(
    "Models",
    bars("Tokens by namespace", "Prompts and completions, of all servers.",
         *[(f"sort_desc({in_range(counter, SERVERS, 'namespace')})", f"{{{{namespace}}}} {kind}") for counter, kind in TOKENS]),
    bars("Tokens by model", "Prompts and completions, of all its servers.",
         *[(f"sort_desc({in_range(counter, SERVERS, 'namespace, model_name')})", f"{{{{namespace}}}}/{{{{model_name}}}} {kind}")
           for counter, kind in TOKENS]),
    bars("Calls by model", "HTTP answers, refusals included.",
         (f"sort_desc({in_range('textnlp_http_responses_total', SERVERS, 'namespace, model_name')})", "{{namespace}}/{{model_name}}")),
    timeseries("Tokens by namespace over time", "Prompts and completions together, a second.",
               ("""sum by (namespace) (textnlp:model_prompt_tokens:rate5m{%s})
                   + sum by (namespace) (textnlp:model_generated_tokens:rate5m{%s})""" % (SERVERS, SERVERS), "{{namespace}}"),
               stack=True, width=12),
    table("Models that are served", "Digest and arithmetic decide the bytes of a dataset; `servers` is the number that compute so.",
          f'count by (namespace, model_name, architecture, numerics, digest) (textnlp_model_info{{{SERVERS}, digest!=""}})', width=12,
          columns=[("namespace", "namespace"), ("model_name", "model"), ("architecture", "architecture"), ("numerics", "numerics"),
                   ("digest", "digest"), ("Value", "servers")]),
)

CALLERS = row(
    "Callers",
    bars("Calls by key", "By the name of the key; callers with tokens are counted together as oidc and kubernetes. "
         "Empty where servers ask nobody who he is.",
         (f"sort_desc({in_range('textnlp_key_requests_total', SERVERS, 'key')})", "{{key}}")),
    bars("Tokens by key", "Of prompts and completions.",
         (f"sort_desc({in_range('textnlp_key_tokens_total', SERVERS, 'key, kind')})", "{{key}} {{kind}}")),
    timeseries("Calls by key and status", "429 is a key at its limit, or a full queue.",
               (f"sum by (key, status) (rate(textnlp_key_requests_total{{{SERVERS}}}[$__rate_interval]))", "{{key}} {{status}}"),
               unit="reqps", stack=True),
)

WORK = row(
    "Jobs",
    bars("Tokens by model that jobs used", "Of all attempts, as the jobs' status says.",
         (f"sort_desc({of_jobs('textnlp_job_tokens', 'namespace, modeldeployment, kind')})", "{{namespace}}/{{modeldeployment}} {{kind}}")),
    bars("Rows by outcome", "Of all jobs in this range. requested = accepted + rejected + failed, once a job is done.",
         (of_jobs("textnlp_job_rows", "outcome"), "{{outcome}}")),
    bars("Requests by namespace", "Requests of jobs to models, repeated ones included.",
         (f"sort_desc({of_jobs('textnlp_job_requests', 'namespace')})", "{{namespace}}")),
    table("Jobs in this range", "Also those that are deleted by now.",
          *[of_jobs("textnlp_job_rows", "namespace, generationjob", f', outcome="{outcome}"')
            for outcome in ("requested", "accepted", "rejected", "failed")],
          *[of_jobs("textnlp_job_tokens", "namespace, generationjob", f', kind="{kind}"') for kind in ("prompt", "completion")],
          of_jobs("textnlp_job_requests", "namespace, generationjob"),
          columns=[("namespace", "namespace"), ("generationjob", "job"), ("Value #A", "requested"), ("Value #B", "accepted"),
                   ("Value #C", "rejected"), ("Value #D", "failed"), ("Value #E", "prompt tokens"), ("Value #F", "completion tokens"),
                   ("Value #G", "requests")]),
)


def dashboard():
    return grafana.dashboard(
        "textnlp-usage", "TextNLP: usage", "Who used what: tokens, requests and rows by namespace, model, job and key.",
        [NAMESPACE, MODEL, JOB], [TOTALS, MODELS, CALLERS, WORK], since="now-7d")
