"""Service health: is everything up, are the objectives met, what is wrong."""

import grafana
from grafana import BLUE, GREEN, ORANGE, RED, YELLOW, row, stat, table, timeseries
from variables import JOB, JOB_LABELS, JOBS, MODEL, MODELS, NAMESPACE, SERVERS

BUDGET = "(1 - max by (slo) (textnlp:slo_objective:ratio))"


def budget_left(slo, bad, total):
    """Share of the error budget of 30 days that the worst model has left."""
    return f"""
        min(1 - (({bad}) or 0 * {total}) / ({total} > 0) / scalar(1 - max(textnlp:slo_objective:ratio{{slo="{slo}"}})))"""


def month(counter, matchers=""):
    return f"sum by (namespace, model_name) (increase({counter}{{{SERVERS}{matchers}}}[30d]))"


def burn(window):
    return f"""
        sum by (slo, namespace, model_name) (textnlp:slo_errors:ratio_rate{window}{{{SERVERS}}})
          / on (slo) group_left () {BUDGET}"""


LEFT = [(None, RED), (0, ORANGE), (0.25, YELLOW), (0.5, GREEN)]
BURN = [(None, GREEN), (1, YELLOW), (6, ORANGE), (14.4, RED)]
RESPONSES = month("textnlp_http_responses_total")
SERVER_ERRORS = month("textnlp_http_responses_total", ', status=~"5.."')
FIRST_TOKENS = month("vllm:time_to_first_token_seconds_count")
LATE = f"""{FIRST_TOKENS} - {month("vllm:time_to_first_token_seconds_bucket", ', le=~"5|5[.]0"')}"""

NOW = row(
    "Now",
    stat("Availability: budget left", "Share of the 30 days' error budget that the worst model has left: 99.5 % of HTTP answers are no 5xx. "
         "Below 0 the objective is missed.",
         (budget_left("availability", SERVER_ERRORS, RESPONSES), "left"), unit="percentunit", decimals=1, thresholds=LEFT,
         runbooks=["TextNLPAvailabilityBudgetBurn"]),
    stat("First token: budget left", "Share of the 30 days' error budget that the worst model has left: 95 % of completions have their "
         "first token within 5 s. Below 0 the objective is missed.",
         (budget_left("first_token", LATE, FIRST_TOKENS), "left"), unit="percentunit", decimals=1, thresholds=LEFT,
         runbooks=["TextNLPFirstTokenBudgetBurn"]),
    stat("Servers ready", "Servers that answer, of those that are wanted.",
         (f'sum(max by (namespace, modeldeployment) (textnlp_model_replicas{{{MODELS}, state="ready"}}))', "ready"),
         (f'sum(max by (namespace, modeldeployment) (textnlp_model_replicas{{{MODELS}, state="desired"}}))', "desired"),
         runbooks=["TextNLPModelNotReady", "TextNLPModelServersMissing"]),
    stat("Jobs by phase", "GenerationJobs as they stand now.",
         (f"count by (phase) (max by ({JOB_LABELS}, phase) (textnlp_job_info{{{JOBS}}}))", "{{phase}}"),
         runbooks=["TextNLPJobFailed", "TextNLPJobWaits"], thresholds=[(None, BLUE)]),
    stat("Operator", "Replicas of the operator that are scraped, and those that lead. Exactly one should.",
         ("count(textnlp_operator_is_leader) or vector(0)", "replicas"), ("sum(textnlp_operator_is_leader) or vector(0)", "leaders"),
         runbooks=["TextNLPOperatorDown", "TextNLPOperatorNoLeader"], thresholds=[(None, RED), (1, GREEN)],
         overrides=[grafana.thresholds_of("leaders", [(None, RED), (1, GREEN), (2, RED)])]),
    stat("Alerts", "Alerts of these rules that fire now: somebody should look now (page), or today (ticket).",
         ('count(ALERTS{alertname=~"TextNLP.+", alertstate="firing", severity="page"}) or vector(0)', "page"),
         ('count(ALERTS{alertname=~"TextNLP.+", alertstate="firing", severity="ticket"}) or vector(0)', "ticket"),
         thresholds=[(None, GREEN), (1, RED)]),
)

OBJECTIVES = row(
    "Objectives",
    timeseries("Burn rate, 1 h", "How many times as fast as allowed the error budget burns, over the last hour. At 14.4, two percent of a "
               "month's budget go in an hour: somebody is called.",
               (burn("1h"), "{{slo}} {{namespace}}/{{model_name}}"), thresholds=BURN,
               runbooks=["TextNLPAvailabilityBudgetBurn", "TextNLPFirstTokenBudgetBurn"]),
    timeseries("Burn rate, 6 h", "The same over 6 hours: somebody is called at 6.",
               (burn("6h"), "{{slo}} {{namespace}}/{{model_name}}"), thresholds=BURN,
               runbooks=["TextNLPAvailabilityBudgetBurn", "TextNLPFirstTokenBudgetBurn"]),
    timeseries("Burn rate, 3 d", "The same over 3 days: a ticket at 1, when the month's budget will just be used up.",
               (burn("3d"), "{{slo}} {{namespace}}/{{model_name}}"), thresholds=BURN,
               runbooks=["TextNLPAvailabilityBudgetBurn", "TextNLPFirstTokenBudgetBurn"]),
    timeseries("Job speed against plan", "Rows per second, divided by what the job's deadline needs from now on. Below 1 it will be "
               "cut off. Only jobs with activeDeadlineSeconds.",
               (f"textnlp:job_plan:ratio_rate10m{{{JOBS}}}", "{{namespace}}/{{generationjob}} 10 min"),
               (f"textnlp:job_plan:ratio_rate1h{{{JOBS}}}", "{{namespace}}/{{generationjob}} 1 h"),
               thresholds=[(None, RED), (0.5, ORANGE), (1, GREEN)], runbooks=["TextNLPJobBehindPlan"]),
    table("Firing alerts", "Alerts of these rules that fire now. Their names are those of the runbooks.",
          """label_replace(ALERTS{alertname=~"TextNLP.+", alertstate="firing"}, "modeldeployment", "$1", "model_name", "(.+)")""", width=16,
          columns=[("alertname", "alert"), ("severity", "severity"), ("window", "over"), ("namespace", "namespace"), ("modeldeployment", "model"),
                   ("generationjob", "job"), ("pod", "pod"), ("controller", "controller")]),
)

SERVING = row(
    "Servers",
    timeseries("Answers by status", "HTTP answers of /v1, /generate, /validate and /format.",
               (f"sum by (status) (rate(textnlp_http_responses_total{{{SERVERS}}}[$__rate_interval]))", "{{status}}"),
               unit="reqps", stack=True, runbooks=["TextNLPAvailabilityBudgetBurn"]),
    timeseries("Refused: queue full, or a key's limit", "Share of answers that are 429. Workers of jobs come again by themselves.",
               (f"""sum by (namespace, model_name) (rate(textnlp_http_responses_total{{{SERVERS}, status="429"}}[$__rate_interval]))
                    / sum by (namespace, model_name) (rate(textnlp_http_responses_total{{{SERVERS}}}[$__rate_interval]))
                    or 0 * sum by (namespace, model_name) (rate(textnlp_http_responses_total{{{SERVERS}}}[$__rate_interval]))""",
                "{{namespace}}/{{model_name}}"),
               unit="percentunit", thresholds=[(None, GREEN), (0.05, RED)], runbooks=["TextNLPModelQueueFull"]),
    timeseries("Completions by how they ended", "stop and length are as they should be; abort: the client went, or its time was over; error: the engine gave up.",
               (f"sum by (finished_reason) (rate(vllm:request_success_total{{{SERVERS}}}[$__rate_interval]))", "{{finished_reason}}"),
               unit="reqps", stack=True, runbooks=["TextNLPCompletionsFail"]),
    timeseries("Servers ready and wanted", "A line that goes up and down while the wanted number stays is a rollout, or a crash loop.",
               (f'max by (namespace, modeldeployment) (textnlp_model_replicas{{{MODELS}, state="ready"}})',
                "{{namespace}}/{{modeldeployment}} ready"),
               (f'max by (namespace, modeldeployment) (textnlp_model_replicas{{{MODELS}, state="desired"}})',
                "{{namespace}}/{{modeldeployment}} wanted"),
               runbooks=["TextNLPModelCrashLoop", "TextNLPModelServersMissing"]),
    timeseries("KV memory", "Share that completions hold. Full alone is no trouble; full with preemptions (dashboard \"performance\") is.",
               (f"max by (namespace, model_name) (vllm:kv_cache_usage_perc{{{SERVERS}}})", "{{namespace}}/{{model_name}}"),
               unit="percentunit", maximum=1, thresholds=[(None, GREEN), (0.9, RED)], runbooks=["TextNLPKvCacheFull"]),
    table("Models", "What the operator says of each ModelDeployment: the reason of its condition Ready.",
          f'max by (namespace, modeldeployment, phase) (textnlp_model_phase{{{MODELS}}})', width=8,
          columns=[("namespace", "namespace"), ("modeldeployment", "model"), ("phase", "phase")],
          runbooks=["TextNLPModelNotReady", "TextNLPModelStuck", "TextNLPModelNotScraped"]),
)

WORK = row(
    "Jobs",
    timeseries("Jobs by phase over time", "How many jobs stand where.",
               (f"count by (phase) (max by ({JOB_LABELS}, phase) (textnlp_job_info{{{JOBS}}}))", "{{phase}}"),
               stack=True, runbooks=["TextNLPJobWaits", "TextNLPJobFailed"]),
    timeseries("Finished rows", "Rows that each unfinished job has made, of all attempts. A line that lies flat is a job that stands still.",
               (f"""max by ({JOB_LABELS}) (textnlp_job_rows{{{JOBS}, outcome="finished"}})""", "{{namespace}}/{{generationjob}}"),
               runbooks=["TextNLPJobStalled"]),
    timeseries("Workers' requests by answer", "As the workers see it: external models and networks included. error: no answer at all.",
               (f"sum by (namespace, code) (rate(textnlp_requests_total{{{JOBS}}}[$__rate_interval]))", "{{namespace}} {{code}}"),
               unit="reqps", stack=True, runbooks=["TextNLPWorkerRequestsFail"]),
    timeseries("Failed rows of workers", "Rows per second that failed for good.",
               (f"sum by (namespace, generationjob) (rate(textnlp_rows_failed_total{{{JOBS}}}[$__rate_interval]))",
                "{{namespace}}/{{generationjob}}"),
               unit="rowsps", runbooks=["TextNLPJobRowsFail"]),
)

OPERATOR = row(
    "Operator",
    timeseries("Leader", "1 for the replica that leads. A change is fine with a rollout or a lost node; many are not.",
               ("textnlp_operator_is_leader", "{{namespace}}/{{pod}}"), maximum=1,
               runbooks=["TextNLPOperatorNoLeader", "TextNLPOperatorLeaseLost"]),
    timeseries("Reconciliations", "A second, by controller. A cluster where nothing changes has few.",
               ("sum by (controller) (rate(textnlp_operator_reconciles_total[$__rate_interval]))", "{{controller}}"), unit="ops"),
    timeseries("Failed reconciliations", "Share of reconciliations over 15 minutes that failed, conflicts apart: the loser of those reads again.",
               ("textnlp:operator_reconcile_errors:ratio_rate15m", "{{namespace}} {{controller}}"),
               unit="percentunit", thresholds=[(None, GREEN), (0.1, RED)], runbooks=["TextNLPReconcileErrors"]),
    timeseries("Errors by reason", "In the API server's words. Panicked is a bug. Empty where nothing failed yet.",
               ("sum by (controller, reason) (rate(textnlp_operator_reconcile_errors_total[$__rate_interval]))", "{{controller}} {{reason}}"),
               unit="ops", runbooks=["TextNLPReconcileErrors", "TextNLPReconcilePanicked"]),
    timeseries("Time of a reconciliation", "50th and 99th percentile.",
               ("""histogram_quantile(0.5, sum by (controller, le)
                   (rate(textnlp_operator_reconcile_duration_seconds_bucket[$__rate_interval])))""", "{{controller}} 50 %"),
               ("max by (controller) (textnlp:operator_reconcile_seconds:p99_5m)", "{{controller}} 99 %"),
               unit="s", thresholds=[(None, GREEN), (5, RED)], runbooks=["TextNLPReconcileSlow"]),
    timeseries("Under way, and in the caches", "Reconciliations that run now, and objects that each controller knows.",
               ("sum by (controller) (textnlp_operator_reconciles_running)", "{{controller}} running"),
               ("max by (controller) (textnlp_operator_objects)", "{{controller}} objects")),
    timeseries("Writes to the API server", "By verb. With nothing to do there are none but the lease's.",
               ("sum by (verb) (rate(textnlp_operator_api_writes_total[$__rate_interval]))", "{{verb}}"), unit="ops"),
    timeseries("Held back", "Writes refused for want of a valid lease (should be 0), progress that waits for its budget (fine), "
               "Events dropped from a full queue.",
               ("sum(increase(textnlp_operator_api_writes_refused_total[$__rate_interval]))", "writes refused"),
               ("sum(increase(textnlp_operator_progress_deferred_total[$__rate_interval]))", "progress deferred"),
               ("sum(increase(textnlp_operator_events_dropped_total[$__rate_interval]))", "events dropped"),
               runbooks=["TextNLPOperatorLeaseLost", "TextNLPEventsDropped"]),
    timeseries("Objects that cannot be read", "Mostly CRDs of another version. Empty where there was none yet.",
               ("sum by (controller) (increase(textnlp_operator_invalid_objects_total[$__rate_interval]))", "{{controller}}"),
               runbooks=["TextNLPInvalidObjects"]),
)


def dashboard():
    return grafana.dashboard(
        "textnlp-health", "TextNLP: service health", "Whether everything is up, whether the objectives are met, and what is wrong.",
        [NAMESPACE, MODEL, JOB], [NOW, OBJECTIVES, SERVING, WORK, OPERATOR])
