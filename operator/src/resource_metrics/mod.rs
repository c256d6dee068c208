//! Metrics of the jobs and models themselves, for dashboards and bills. They are read from the controllers' caches when they are asked for,
//! so that nothing is kept of what is gone; and only a replica that leads has caches, so that nothing is counted twice. No I/O.

mod series;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kube::runtime::reflector::Store;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use textnlp_crds::{GenerationJob, ModelDeployment};

/// The caches of one scope.
#[derive(Debug)]
pub struct Caches {
    /// Its jobs.
    pub jobs: Store<GenerationJob>,
    /// Its models.
    pub models: Store<ModelDeployment>,
}

/// Which caches are shown: those of each scope while this replica leads.
#[derive(Clone, Debug, Default)]
pub struct Resources(Arc<Mutex<Vec<Arc<Caches>>>>);

/// Caches that are shown until this is dropped.
#[derive(Debug)]
#[must_use = "the caches are not shown any more when this is dropped"]
pub struct Shown {
    resources: Resources,
    caches: Arc<Caches>,
}

impl Resources {
    /// Shows what is in these caches from now on.
    pub fn show(&self, caches: Caches) -> Shown {
        let caches = Arc::new(caches);
        self.lock().push(caches.clone());
        Shown { resources: self.clone(), caches }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Caches>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.resources.lock().retain(|caches| !Arc::ptr_eq(caches, &self.caches));
    }
}

impl Collector for Resources {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        // Copies of pointers: the controllers do not wait for the text.
        let shown = self.lock().clone();
        let jobs: Vec<_> = shown.iter().flat_map(|caches| caches.jobs.state()).collect();
        let models: Vec<_> = shown.iter().flat_map(|caches| caches.models.state()).collect();
        series::jobs(&mut encoder, &jobs)?;
        series::models(&mut encoder, &models)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use jiff::Timestamp;
    use kube::Resource;
    use kube::runtime::reflector;
    use kube::runtime::watcher::Event;
    use serde::de::DeserializeOwned;
    use serde_json::{Value, json};

    use super::*;
    use crate::metrics::Metrics;

    fn at(second: i64) -> String {
        Timestamp::from_second(1_800_000_000 + second).expect("a time").to_string()
    }

    fn job(name: &str, spec: Value, status: Value) -> Value {
        json!({
            "apiVersion": "textnlp.dev/v1alpha1", "kind": "GenerationJob",
            "metadata": {"name": name, "namespace": "shop", "uid": format!("uid-{name}")},
            "spec": spec, "status": status,
        })
    }

    fn model(name: &str, spec: Value, status: Value) -> Value {
        json!({
            "apiVersion": "textnlp.dev/v1alpha1", "kind": "ModelDeployment",
            "metadata": {"name": name, "namespace": "shop", "uid": format!("uid-{name}")},
            "spec": spec, "status": status,
        })
    }

    fn small() -> Value {
        json!({"modelRef": {"name": "smollm2"}, "columns": [{"name": "text", "prompt": "Hi"}]})
    }

    /// A job that has ended, of one model with a price.
    fn done(name: &str) -> Value {
        job(
            name,
            small(),
            json!({
                "phase": "Succeeded", "startTime": at(0), "completionTime": at(90),
                "rows": {"requested": 8, "accepted": 5, "rejected": 2, "failed": 1},
                "usage": {"promptTokens": 100, "completionTokens": 50, "requests": 8,
                    "models": [{"name": "smollm2", "promptTokens": 100, "completionTokens": 50, "requests": 8,
                        "cost": {"currency": "EUR", "amount": "0.012345"}}],
                    "costs": [{"currency": "EUR", "amount": "0.012345"}], "costSummary": "0.012345 EUR"},
                "conditions": [condition("Suspended", "False", 0), condition("Succeeded", "True", 90)],
            }),
        )
    }

    fn condition(type_: &str, status: &str, since: i64) -> Value {
        json!({"type": type_, "status": status, "reason": "Any", "message": "", "lastTransitionTime": at(since)})
    }

    fn cache<K>(objects: &[Value]) -> Store<K>
    where
        K: Resource<DynamicType = ()> + Clone + DeserializeOwned + 'static,
    {
        let (cache, mut writer) = reflector::store::<K>();
        for object in objects {
            let object = serde_json::from_value(object.clone()).expect("an object");
            writer.apply_watcher_event(&Event::Apply(object));
        }
        cache
    }

    fn caches(jobs: &[Value], models: &[Value]) -> Caches {
        Caches { jobs: cache(jobs), models: cache(models) }
    }

    /// The lines about these objects, without those that describe them.
    fn lines(jobs: &[Value], models: &[Value]) -> Vec<String> {
        let metrics = Metrics::default();
        let _shown = metrics.resources.show(caches(jobs, models));
        let text = metrics.text().expect("text");
        let ours =
            |line: &&str| line.starts_with("textnlp_job_") || line.starts_with("textnlp_model_");
        text.lines().filter(ours).map(str::to_owned).collect()
    }

    #[test]
    fn a_job_that_has_ended_shows_what_became_of_it() {
        let of = r#"namespace="shop",generationjob="tickets",uid="uid-tickets""#;
        let model = r#"modeldeployment="smollm2""#;
        let expect = [
            format!(r#"textnlp_job_info{{{of},phase="Succeeded",model="smollm2"}} 1"#),
            format!(r#"textnlp_job_rows{{{of},outcome="requested"}} 8"#),
            format!(r#"textnlp_job_rows{{{of},outcome="finished"}} 8"#),
            format!(r#"textnlp_job_rows{{{of},outcome="accepted"}} 5"#),
            format!(r#"textnlp_job_rows{{{of},outcome="rejected"}} 2"#),
            format!(r#"textnlp_job_rows{{{of},outcome="failed"}} 1"#),
            format!(r#"textnlp_job_tokens{{{of},{model},kind="prompt"}} 100"#),
            format!(r#"textnlp_job_tokens{{{of},{model},kind="completion"}} 50"#),
            format!("textnlp_job_requests{{{of}}} 8"),
            format!(r#"textnlp_job_cost{{{of},{model},currency="EUR"}} 0.012345"#),
            format!("textnlp_job_start_timestamp_seconds{{{of}}} 1800000000"),
            format!("textnlp_job_completion_timestamp_seconds{{{of}}} 1800000090"),
        ];
        assert_eq!(lines(&[done("tickets")], &[]), expect);
    }

    #[test]
    fn a_deadline_counts_from_where_the_clock_runs_and_stands_with_it() {
        let mut spec = small();
        spec["execution"] = json!({"activeDeadlineSeconds": 60});
        let deadline = |status: Value| {
            let found = lines(&[job("late", spec.clone(), status)], &[]);
            let name = "textnlp_job_deadline_timestamp_seconds";
            let line = found.into_iter().find(|line| line.starts_with(name))?;
            Some(line.rsplit(' ').next().unwrap_or_default().to_owned())
        };
        let status = |suspended: &str, since: i64, succeeded: &str| {
            json!({
                "phase": "Running", "startTime": at(0), "attempt": 0, "activeSeconds": 20,
                "conditions": [condition("Suspended", suspended, since), condition("Succeeded", succeeded, 0)],
            })
        };
        // 20 seconds were active before the suspension that ended at second 500.
        assert_eq!(deadline(status("False", 500, "Unknown")).as_deref(), Some("1800000540"));
        assert_eq!(deadline(status("True", 500, "Unknown")), None);
        assert_eq!(deadline(status("False", 500, "False")), None);
        assert_eq!(deadline(json!({"observedGeneration": -1})), None);
    }

    #[test]
    fn a_job_that_nobody_has_looked_at_is_pending_and_names_are_escaped() {
        let spec = json!({"columns": [
            {"name": "a", "prompt": "x", "modelRef": {"name": "b \"quoted\" \\ \n"}},
            {"name": "c", "prompt": "x", "modelRef": {"name": "a"}},
            {"name": "v", "value": "x", "modelRef": {"name": "not called"}},
        ]});
        let expect = concat!(
            r#"textnlp_job_info{namespace="shop",generationjob="new",uid="uid-new",phase="Pending","#,
            r#"model="a,b \"quoted\" \\ \n"} 1"#,
        );
        assert_eq!(lines(&[job("new", spec, json!({"observedGeneration": -1}))], &[]), [expect]);
    }

    #[test]
    fn a_model_shows_how_it_stands_and_what_one_token_costs() {
        let claim = json!({"claimName": "models"});
        let priced = model(
            "smollm2",
            json!({
                "source": {"persistentVolumeClaim": claim},
                "price": {"currency": "EUR", "promptTokens": "0.15", "completionTokens": "60"},
            }),
            json!({
                "desiredReplicas": 3, "readyReplicas": 2,
                "conditions": [{"type": "Ready", "status": "True", "reason": "Serving", "message": "",
                    "lastTransitionTime": at(0)}],
            }),
        );
        let of = r#"namespace="shop",modeldeployment="smollm2""#;
        let expect = [
            format!(r#"textnlp_model_info{{{of},phase="Serving"}} 1"#),
            format!(r#"textnlp_model_replicas{{{of},state="desired"}} 3"#),
            format!(r#"textnlp_model_replicas{{{of},state="ready"}} 2"#),
            format!(r#"textnlp_model_price{{{of},kind="prompt",currency="EUR"}} 1.5e-7"#),
            format!(r#"textnlp_model_price{{{of},kind="completion",currency="EUR"}} 0.00006"#),
        ];
        assert_eq!(lines(&[], &[priced]), expect);
        let elsewhere = json!({"external": {"endpoint": "https://a/b", "model": "m"}});
        let bare = model("theirs", json!({"source": elsewhere}), json!({"observedGeneration": -1}));
        let expect =
            r#"textnlp_model_info{namespace="shop",modeldeployment="theirs",phase="Pending"} 1"#;
        assert_eq!(lines(&[], &[bare]), [expect]);
    }

    #[test]
    fn each_scope_is_shown_once_and_only_while_this_replica_leads() {
        let metrics = Metrics::default();
        let count = || {
            let text = metrics.text().expect("text");
            let series: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
            let unique: HashSet<&&str> = series.iter().collect();
            assert_eq!(unique.len(), series.len(), "a series twice");
            let families = text.lines().filter(|line| line.starts_with("# TYPE textnlp_job_info "));
            assert!(text.ends_with("# EOF\n") && text.matches("# EOF").count() == 1);
            (families.count(), text.matches("textnlp_job_info{").count())
        };
        assert_eq!(count(), (0, 0));
        let one = metrics.resources.show(caches(&[done("a"), done("b")], &[]));
        let other = metrics.resources.show(caches(&[done("c")], &[]));
        assert_eq!(count(), (1, 3));
        drop(one);
        assert_eq!(count(), (1, 1));
        drop(other);
        assert_eq!(count(), (0, 0));
    }

    #[test]
    fn ten_thousand_jobs_are_a_text_of_a_size_that_can_be_told() {
        let jobs: Vec<Value> = (0..10_000).map(|index| done(&format!("job-{index}"))).collect();
        let metrics = Metrics::default();
        let _shown = metrics.resources.show(caches(&jobs, &[]));
        let text = metrics.text().expect("text");
        assert_eq!(text.lines().filter(|line| line.starts_with("textnlp_job_")).count(), 120_000);
        assert!(text.len() < 20 << 20, "{} bytes", text.len());
        // The next one is made in a buffer that need not grow.
        let again = metrics.text().expect("text");
        assert_eq!(again.len(), text.len());
        assert!(again.capacity() < text.len() + (64 << 10), "{} bytes", again.capacity());
    }
}
