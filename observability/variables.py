"""What a reader can choose at the top of each dashboard, and the label matchers that follow from it."""

from grafana import variable

NAMESPACE = variable(
    "namespace", "Namespace", 'label_values({__name__=~"textnlp_job_info|textnlp_model_replicas"}, namespace)',
    "Namespaces with jobs or models.")
MODEL = variable(
    "model", "Model", 'label_values(textnlp_model_info{namespace=~"$namespace", phase!=""}, modeldeployment)',
    "ModelDeployments of these namespaces.")
JOB = variable(
    "job", "Job", 'label_values(textnlp_job_info{namespace=~"$namespace"}, generationjob)',
    "GenerationJobs of these namespaces.")

# Of servers, of the operator's words about models, and about jobs.
SERVERS = 'namespace=~"$namespace", model_name=~"$model"'
MODELS = 'namespace=~"$namespace", modeldeployment=~"$model"'
JOBS = 'namespace=~"$namespace", generationjob=~"$job"'

# When the leader changes, the same figures come from another replica: all that is asked of them is aggregated over
# these labels first, so that no figure is counted twice.
JOB_LABELS = "namespace, generationjob, uid"
