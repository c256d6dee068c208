//! What was measured: as JSON for programs, as a table for people. No I/O.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

/// Everything that was measured in one run.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    /// Where.
    pub(crate) machine: Machine,
    /// GenerationJobs at once.
    pub(crate) jobs: usize,
    /// The operator with these jobs.
    pub(crate) operator: OperatorRun,
    /// The plain client with the same writes.
    pub(crate) plain: PlainRun,
    /// The operator beside the plain client.
    pub(crate) ratio: Ratio,
    /// The operator's memory.
    pub(crate) memory: Memory,
}

/// Where it was measured. Other work on the machine shows in the load.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Machine {
    /// Processors.
    pub(crate) processors: usize,
    /// Load average of the last minute, before and after.
    pub(crate) load: [f64; 2],
    /// The operator's program.
    pub(crate) operator: String,
}

/// The operator with all jobs.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OperatorRun {
    /// From the first job's creation until all have succeeded.
    pub(crate) seconds: f64,
    /// Jobs in each of these seconds.
    pub(crate) jobs_per_second: f64,
    /// Writes of a job by verb and resource.
    pub(crate) writes: BTreeMap<String, f64>,
    /// All writes of a job.
    pub(crate) writes_per_job: f64,
    /// Reads of a job by verb and resource.
    pub(crate) reads: BTreeMap<String, f64>,
    /// Writes that the API server refused.
    pub(crate) refused: BTreeMap<String, usize>,
    /// Writes in a second.
    pub(crate) writes_per_second: f64,
    /// Reconciliations of a job.
    pub(crate) reconciles_per_job: f64,
    /// Median of a reconciliation's seconds.
    pub reconcile_p50: Option<f64>,
    /// 99th percentile of a reconciliation's seconds.
    pub reconcile_p99: Option<f64>,
    /// Processor seconds by process.
    pub(crate) processor: BTreeMap<String, f64>,
}

/// The plain client with the same writes.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PlainRun {
    /// Writes that were made.
    pub(crate) writes: usize,
    /// Writes that failed.
    pub(crate) failed: usize,
    /// Writes of the operator that were not made again.
    pub(crate) left_out: usize,
    /// Writes at once.
    pub(crate) at_once: usize,
    /// Until the last write was answered.
    pub(crate) write_seconds: f64,
    /// Writes in each of these seconds.
    pub(crate) writes_per_second: f64,
    /// Until the cluster had done all Jobs.
    pub(crate) seconds: f64,
    /// GenerationJobs' worth of work in each of these seconds.
    pub(crate) jobs_per_second: f64,
    /// Processor seconds by process.
    pub(crate) processor: BTreeMap<String, f64>,
}

/// The operator's rate by the plain client's.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Ratio {
    /// Until the cluster has done the same work.
    pub(crate) jobs: f64,
    /// Until the writes are answered; the plain client waits for no Job to end before it makes the next.
    pub(crate) writes: f64,
}

/// The operator's memory, in MiB.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Memory {
    /// GenerationJobs and ModelDeployments that are held.
    pub(crate) held: usize,
    /// Other objects in the namespace, by kind.
    pub(crate) children: BTreeMap<String, usize>,
    /// Before the first job.
    pub(crate) empty: f64,
    /// After the jobs.
    pub(crate) after_jobs: f64,
    /// With all resources held.
    pub(crate) full: f64,
    /// The most that it ever was.
    pub(crate) peak: f64,
    /// After a restart with all resources there.
    pub(crate) restarted: f64,
    /// The most since that restart.
    pub(crate) restarted_peak: f64,
}

impl Report {
    /// The table.
    pub(crate) fn table(&self) -> String {
        let (o, p, m) = (&self.operator, &self.plain, &self.memory);
        let milliseconds = |seconds: Option<f64>| {
            seconds.map_or("unknown".to_owned(), |seconds| format!("{:.1} ms", seconds * 1e3))
        };
        let mut text = String::new();
        let mut row = |name: &str, value: String| {
            let _ = writeln!(text, "{name:<44} {value}");
        };
        row("processors, load before and after", {
            let [before, after] = self.machine.load;
            format!("{}, {before:.1}, {after:.1}", self.machine.processors)
        });
        row(
            "operator: jobs until all have succeeded",
            format!("{} in {:.1} s", self.jobs, o.seconds),
        );
        row("operator: jobs/s", format!("{:.1}", o.jobs_per_second));
        row("plain client: jobs/s until its Jobs are done", format!("{:.1}", p.jobs_per_second));
        row("ratio (aim: at least 0.5)", format!("{:.2}", self.ratio.jobs));
        row("operator: writes/s", format!("{:.0}", o.writes_per_second));
        row(
            "plain client: writes/s, waiting for nothing",
            format!("{:.0} ({} at once)", p.writes_per_second, p.at_once),
        );
        row("ratio of writes/s", format!("{:.2}", self.ratio.writes));
        row("writes per job (aim: at most 8)", format!("{:.2}", o.writes_per_job));
        for (kind, count) in &o.writes {
            row(&format!("  {kind}"), format!("{count:.3}"));
        }
        for (kind, count) in &o.refused {
            row(&format!("  refused: {kind}"), format!("{count} in all"));
        }
        row("reads per job", format!("{:.2}", o.reads.values().sum::<f64>()));
        for (kind, count) in &o.reads {
            row(&format!("  {kind}"), format!("{count:.3}"));
        }
        row("reconciliations per job", format!("{:.1}", o.reconciles_per_job));
        row("reconciliation, p50", milliseconds(o.reconcile_p50));
        row("reconciliation, p99", milliseconds(o.reconcile_p99));
        row("processor seconds (operator's run, plain's)", String::new());
        for (name, seconds) in &o.processor {
            let plain = p
                .processor
                .get(name)
                .map_or_else(|| "-".to_owned(), |seconds| format!("{seconds:.1}"));
            row(&format!("  {name}"), format!("{seconds:.1}, {plain}"));
        }
        let children: Vec<String> =
            m.children.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        row("resources held", format!("{}, with {}", m.held, children.join(", ")));
        row(
            "operator's memory: empty, after the jobs",
            format!("{:.0}, {:.0} MiB", m.empty, m.after_jobs),
        );
        row(
            "  with all held (aim: at most 100 MiB)",
            format!("{:.0} MiB, peak {:.0}", m.full, m.peak),
        );
        row("  after a restart", format!("{:.0} MiB, peak {:.0}", m.restarted, m.restarted_peak));
        text
    }
}
