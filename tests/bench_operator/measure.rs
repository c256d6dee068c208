//! The measurements, one after the other in the same minutes of the same cluster. I/O.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use kube::api::{Api, ApiResource, DynamicObject, ListParams};
use kube::core::GroupVersionKind;
use serde_json::Value;
use textnlp_tests::metrics::{Histogram, sum};
use textnlp_tests::{condition, run_with_input};

use crate::Args;
use crate::audit::{AuditLog, Request, tally};
use crate::error::Error;
use crate::fixtures::{self, NAMESPACE, PLAIN};
use crate::follow::until;
use crate::ground::Ground;
use crate::plain::{Plain, create_all};
use crate::process::{ControlPlane, Operator};
use crate::report::{Machine, Memory, OperatorRun, PlainRun, Ratio, Report};

/// Objects that are created at once: by the users, and by the plain client, which has as many lanes as the operator by default
/// has reconciliations of one kind under way.
const USERS: usize = 64;
const LANES: usize = 16;
/// Until the last events are written.
const TAIL: Duration = Duration::from_secs(3);
/// How the job controller is called in the operator's metrics.
const CONTROLLER: (&str, &str) = ("controller", "generationjob");

/// The cluster, and what is measured on it.
pub(crate) struct Bench {
    ground: Ground,
    audit: AuditLog,
    control_plane: ControlPlane,
    jobs: usize,
    held: usize,
    program: PathBuf,
    log: PathBuf,
}

impl Bench {
    /// Nothing is measured yet.
    pub(crate) fn new(args: &Args, ground: Ground) -> Result<Self, Error> {
        Ok(Self {
            audit: AuditLog::new(ground.state.join("audit.log")),
            control_plane: ControlPlane::new(&ground.state),
            ground,
            jobs: args.jobs,
            held: args.held,
            program: args.operator.clone(),
            log: args.log.clone(),
        })
    }

    /// All measurements.
    pub(crate) async fn run(&self) -> Result<Report, Error> {
        let before = load();
        let operator = self.start_operator().await?;
        self.serve_model().await?;
        let empty = operator.usage()?.resident;

        crate::note(&format!("{} jobs at once", self.jobs));
        let (run, writes) = self.operator_run(&operator).await?;
        let after_jobs = operator.usage()?.resident;
        crate::note("the same writes by the plain client");
        let plain = self.plain_run(&writes).await?;

        crate::note(&format!("{} resources held", self.held));
        self.hold().await?;
        let full = operator.usage()?;
        drop(operator);
        let operator = self.start_operator().await?;
        tokio::time::sleep(3 * TAIL).await; // all are reconciled once
        let restarted = operator.usage()?;
        let memory = Memory {
            held: self.held.max(self.jobs + 1),
            children: self.children().await?,
            empty,
            after_jobs,
            full: full.resident,
            peak: full.peak,
            restarted: restarted.resident,
            restarted_peak: restarted.peak,
        };
        Ok(Report {
            machine: Machine {
                processors: std::thread::available_parallelism().map_or(0, usize::from),
                load: [before, load()],
                operator: self.program.display().to_string(),
            },
            jobs: self.jobs,
            ratio: Ratio {
                jobs: run.jobs_per_second / plain.jobs_per_second,
                writes: run.writes_per_second / plain.writes_per_second,
            },
            operator: run,
            plain,
            memory,
        })
    }

    async fn start_operator(&self) -> Result<Operator, Error> {
        Operator::start(&self.program, &self.ground.operator, &self.log).await
    }

    /// Applies the model and waits until it is ready.
    async fn serve_model(&self) -> Result<(), Error> {
        let model = fixtures::model().to_string();
        run_with_input("kubectl", &["--namespace", NAMESPACE, "apply", "-f", "-"], &model)
            .expect("kubectl apply");
        let ready =
            |object: &DynamicObject| Ok(condition(&object.data, "Ready")["status"] == "True");
        until(
            "the model is ready",
            self.api("ModelDeployment", "modeldeployments", NAMESPACE),
            1,
            ready,
        )
        .await
    }

    /// Creates the jobs, waits until all have succeeded, and looks at what the operator did.
    async fn operator_run(
        &self,
        operator: &Operator,
    ) -> Result<(OperatorRun, Vec<Request>), Error> {
        let jobs = self.api("GenerationJob", "generationjobs", NAMESPACE);
        let (mark, cpu, text) = (self.audit.end()?, self.processor(operator)?, operator.metrics()?);
        let begun = Instant::now();
        let all = (0..self.jobs).map(fixtures::job).collect();
        let (created, succeeded) = tokio::join!(
            create_all(&jobs, USERS, all),
            until("jobs have succeeded", jobs.clone(), self.jobs, has_succeeded)
        );
        created?;
        succeeded?;
        let seconds = begun.elapsed().as_secs_f64();
        let processor = since(&self.processor(operator)?, &cpu);
        tokio::time::sleep(TAIL).await;

        let requests = self.audit.since(mark, &self.ground.operator_user)?;
        let (writes, reads): (Vec<Request>, Vec<Request>) =
            requests.into_iter().partition(Request::is_write);
        let (done, refused): (Vec<Request>, Vec<Request>) =
            writes.into_iter().partition(Request::is_ok);
        let now = operator.metrics()?;
        let durations = |text: &str| {
            Histogram::read(
                text,
                "textnlp_operator_reconcile_duration_seconds",
                CONTROLLER.0,
                CONTROLLER.1,
            )
        };
        let reconciles =
            |text: &str| sum(text, "textnlp_operator_reconciles_total", CONTROLLER.0, CONTROLLER.1);
        let took = durations(&now).since(&durations(&text));
        let run = OperatorRun {
            seconds,
            jobs_per_second: self.jobs as f64 / seconds,
            writes_per_job: done.len() as f64 / self.jobs as f64,
            writes_per_second: done.len() as f64 / seconds,
            writes: self.per_job(&done),
            reads: self.per_job(&reads),
            refused: tally(&refused),
            reconciles_per_job: (reconciles(&now) - reconciles(&text)) / self.jobs as f64,
            reconcile_p50: took.quantile(0.5),
            reconcile_p99: took.quantile(0.99),
            processor,
        };
        Ok((run, done))
    }

    fn per_job(&self, requests: &[Request]) -> BTreeMap<String, f64> {
        tally(requests)
            .into_iter()
            .map(|(kind, count)| (kind, count as f64 / self.jobs as f64))
            .collect()
    }

    /// Makes the same writes in the other namespace, and waits until the cluster has done the Jobs among them.
    async fn plain_run(&self, writes: &[Request]) -> Result<PlainRun, Error> {
        let jobs = self.api("GenerationJob", "generationjobs", PLAIN);
        create_all(&jobs, USERS, (0..self.jobs).map(fixtures::job).collect()).await?;
        let mut plain = Plain::new(self.ground.plain.clone(), LANES, writes).await?;
        let cpu = self.control_plane.processor();
        let begun = Instant::now();
        let outcome = plain.run(&resource("GenerationJob", "generationjobs"), writes).await?;
        let batch =
            ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("batch", "v1", "Job"), "jobs");
        let children = Api::namespaced_with(self.ground.admin.clone(), PLAIN, &batch);
        until("Jobs of the plain client are complete", children, outcome.jobs, is_complete).await?;
        let (seconds, write_seconds) =
            (begun.elapsed().as_secs_f64(), outcome.duration.as_secs_f64());
        Ok(PlainRun {
            writes: outcome.writes,
            failed: outcome.failed,
            left_out: outcome.left_out,
            at_once: LANES,
            write_seconds,
            writes_per_second: outcome.writes as f64 / write_seconds,
            seconds,
            jobs_per_second: self.jobs as f64 / seconds,
            processor: since(&self.control_plane.processor(), &cpu),
        })
    }

    /// Fills the namespace up to the number of resources that shall be held, and waits until the operator has seen them.
    async fn hold(&self) -> Result<(), Error> {
        let jobs = self.api("GenerationJob", "generationjobs", NAMESPACE);
        let more: Vec<Value> =
            (self.jobs..self.held.saturating_sub(1)).map(fixtures::suspended).collect();
        let wanted = self.jobs + more.len();
        let seen = |object: &DynamicObject| Ok(object.data["status"]["observedGeneration"] == 1);
        let (created, seen) = tokio::join!(
            create_all(&jobs, USERS, more),
            until("resources are held", jobs.clone(), wanted, seen)
        );
        created?;
        seen?;
        tokio::time::sleep(TAIL).await;
        Ok(())
    }

    /// What else the namespace holds.
    async fn children(&self) -> Result<BTreeMap<String, usize>, Error> {
        let mut counts = BTreeMap::new();
        for (group, kind, plural) in [("batch", "Job", "jobs"), ("", "Pod", "pods")] {
            let resource = ApiResource::from_gvk_with_plural(
                &GroupVersionKind::gvk(group, "v1", kind),
                plural,
            );
            let api = Api::<DynamicObject>::namespaced_with(
                self.ground.admin.clone(),
                NAMESPACE,
                &resource,
            );
            let list = api
                .list_metadata(&ListParams::default())
                .await
                .map_err(Error::api(format!("list {plural}")))?;
            counts.insert(plural.to_owned(), list.items.len());
        }
        Ok(counts)
    }

    /// Processor seconds of the operator and of the control plane.
    fn processor(&self, operator: &Operator) -> Result<BTreeMap<String, f64>, Error> {
        let mut all = self.control_plane.processor();
        all.insert("operator".into(), operator.usage()?.processor);
        Ok(all)
    }

    fn api(&self, kind: &str, plural: &str, namespace: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.ground.admin.clone(), namespace, &resource(kind, plural))
    }
}

/// One of our kinds.
fn resource(kind: &str, plural: &str) -> ApiResource {
    ApiResource::from_gvk_with_plural(
        &GroupVersionKind::gvk(textnlp_crds::GROUP, textnlp_crds::VERSION, kind),
        plural,
    )
}

fn has_succeeded(job: &DynamicObject) -> Result<bool, Error> {
    if job.data["status"]["phase"] == "Failed" {
        let what = format!("the end of {}", job.metadata.name.clone().unwrap_or_default());
        return Err(Error::Unreadable { what, found: job.data["status"].to_string() });
    }
    Ok(condition(&job.data, "Succeeded")["status"] == "True")
}

fn is_complete(job: &DynamicObject) -> Result<bool, Error> {
    Ok(condition(&job.data, "Complete")["status"] == "True")
}

fn since(now: &BTreeMap<String, f64>, before: &BTreeMap<String, f64>) -> BTreeMap<String, f64> {
    now.iter()
        .map(|(name, seconds)| (name.clone(), seconds - before.get(name).unwrap_or(&0.0)))
        .collect()
}

/// Load average of the last minute; 0 where the machine does not tell.
fn load() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or(0.0)
}
