"""Cost: tokens times the prices of the ModelDeployments, by namespace, model, job and key."""

import grafana
from grafana import bars, row, stat, table, timeseries
from variables import JOB, JOB_LABELS, JOBS, MODEL, MODELS, NAMESPACE, SERVERS

COST_LABELS = f"{JOB_LABELS}, modeldeployment, currency"


def costs():
    """What each job's use of each model cost within the range; what was spent before does not count."""
    matchers = f'{JOBS}, modeldeployment=~"$model"'
    return f"""(max by ({COST_LABELS}) (last_over_time(textnlp_job_cost{{{matchers}}}[$__range]))
        - (max by ({COST_LABELS}) (textnlp_job_cost{{{matchers}}} offset $__range)
           or 0 * max by ({COST_LABELS}) (last_over_time(textnlp_job_cost{{{matchers}}}[$__range]))))"""


def priced(tokens, kind):
    """Tokens by namespace, model (and more labels) times the price of their kind."""
    return f"""label_replace({tokens}, "modeldeployment", "$1", "model_name", "(.+)")
        * on (namespace, modeldeployment) group_left (currency)
        max by (namespace, modeldeployment, currency) (textnlp_model_price{{{MODELS}, kind="{kind}"}})"""


def served(by):
    """What all tokens that servers computed within the range would cost, whoever asked."""
    prompt = f"sum by (namespace, model_name) (increase(vllm:prompt_tokens_total{{{SERVERS}}}[$__range]))"
    completion = f"sum by (namespace, model_name) (increase(vllm:generation_tokens_total{{{SERVERS}}}[$__range]))"
    return f"sum by ({by}) ({priced(prompt, 'prompt')}) + sum by ({by}) ({priced(completion, 'completion')})"


def by_key():
    parts = []
    for kind in ("prompt", "completion"):
        tokens = f'sum by (namespace, model_name, key) (increase(textnlp_key_tokens_total{{{SERVERS}, kind="{kind}"}}[$__range]))'
        parts.append(f"sum by (key, currency) ({priced(tokens, kind)})")
    return " + ".join(parts)


ACCEPTED = f'max by ({JOB_LABELS}) (last_over_time(textnlp_job_rows{{{JOBS}, outcome="accepted"}}[$__range]))'
WHOLE = f"sum by ({JOB_LABELS}, currency) (max by ({COST_LABELS}) (last_over_time(textnlp_job_cost{{{JOBS}}}[$__range])))"
# The rows of jobs that have a cost, once for each of its currencies.
PAID_ROWS = f"0 * {WHOLE} + on ({JOB_LABELS}) group_left () {ACCEPTED}"
RUNNING = f"""max by ({JOB_LABELS}) (textnlp_job_info{{{JOBS}, phase="Running"}})"""

TOTALS = row(
    "In this range, in the currency's units",
    stat("All jobs", "What jobs cost within this range, by the prices of their models.",
         (f"sum by (currency) {costs()}", "{{currency}}"), decimals=4, width=6),
    stat("All calls", "What all tokens that servers computed would cost by the same prices, whoever asked.",
         (served("currency"), "{{currency}}"), decimals=4, width=6),
    stat("Per 1000 accepted rows", "Whole cost of the jobs in this range, failed ones included, divided by the rows of their datasets.",
         (f"1000 * sum by (currency) ({WHOLE}) / (sum by (currency) ({PAID_ROWS}) > 0)", "{{currency}}"), decimals=4, width=6),
    stat("An hour, now", "What servers compute now, projected to an hour.",
         (f"3600 * sum by (currency) (textnlp:model_cost:rate5m{{{MODELS}}})", "{{currency}}"), decimals=4, width=6),
)

WHERE = row(
    "By whom",
    bars("Jobs by namespace", "What jobs cost within this range, by namespace.",
         (f"sort_desc(sum by (namespace, currency) {costs()})", "{{namespace}} {{currency}}"), decimals=4),
    bars("Jobs by model", "What jobs cost within this range, by the model that they used.",
         (f"sort_desc(sum by (namespace, modeldeployment, currency) {costs()})", "{{namespace}}/{{modeldeployment}} {{currency}}"), decimals=4),
    bars("All calls by model", "Tokens of all callers, jobs included, times the model's prices.",
         (f"sort_desc({served('namespace, modeldeployment, currency')})", "{{namespace}}/{{modeldeployment}} {{currency}}"), decimals=4),
    bars("Calls by key", "By the name of the key; callers with tokens together as oidc and kubernetes, jobs' workers among the latter. "
         "Empty where servers ask nobody who he is.",
         (f"sort_desc({by_key()})", "{{key}} {{currency}}"), decimals=4),
    timeseries("Cost rate", "What servers compute, projected to an hour.",
               (f"3600 * textnlp:model_cost:rate5m{{{MODELS}}}", "{{namespace}}/{{modeldeployment}} {{currency}}"), stack=True, decimals=4),
    timeseries("Cost of jobs", "What each job has cost so far, all attempts together.",
               (f"sum by ({JOB_LABELS}, currency) (max by ({COST_LABELS}) (textnlp_job_cost{{{JOBS}}}))",
                "{{namespace}}/{{generationjob}} {{currency}}"), decimals=4),
)

JOBS_AND_PRICES = row(
    "Jobs and prices",
    table("Jobs", "Whole cost of the jobs in this range, also of those that are deleted by now, and what an accepted row came to.",
          f"sum by (namespace, generationjob, currency) ({WHOLE})",
          f"sum by (namespace, generationjob, currency) ({PAID_ROWS})",
          f"""sum by (namespace, generationjob, currency) ({WHOLE})
              / (sum by (namespace, generationjob, currency) ({PAID_ROWS}) > 0)""",
          width=12, decimals=6,
          columns=[("namespace", "namespace"), ("generationjob", "job"), ("currency", "currency"), ("Value #A", "cost"),
                   ("Value #B", "accepted rows"), ("Value #C", "cost of a row")]),
    table("Running jobs: what they will have cost", "Cost so far, divided by the share of rows that are finished.",
          f"""sum by (namespace, generationjob, currency) (max by ({COST_LABELS}) (textnlp_job_cost{{{JOBS}}}))
              * on (namespace, generationjob) group_left ()
              sum by (namespace, generationjob) (max by ({JOB_LABELS}) (textnlp_job_rows{{{JOBS}, outcome="requested"}})
                / (max by ({JOB_LABELS}) (textnlp_job_rows{{{JOBS}, outcome="finished"}}) > 0) and {RUNNING})""",
          width=6, decimals=4,
          columns=[("namespace", "namespace"), ("generationjob", "job"), ("currency", "currency"), ("Value", "cost")]),
    table("Prices", "Of a million tokens, as spec.price of the ModelDeployments says.",
          f"1e6 * max by (namespace, modeldeployment, kind, currency) (textnlp_model_price{{{MODELS}}})",
          width=6, decimals=4,
          columns=[("namespace", "namespace"), ("modeldeployment", "model"), ("kind", "kind"), ("Value", "price"), ("currency", "currency")]),
)


def dashboard():
    return grafana.dashboard(
        "textnlp-cost", "TextNLP: cost", "Tokens times the prices of the ModelDeployments, by namespace, model, job and key.",
        [NAMESPACE, MODEL, JOB], [TOTALS, WHERE, JOBS_AND_PRICES], since="now-30d")
