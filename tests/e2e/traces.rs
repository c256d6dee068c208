//! Traces: what a row of a job went through, as a collector has it.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use textnlp_tests::disturb::together;
use textnlp_tests::{Job, Model, Space, binary, eventually, kubectl, model_file, traces_file};

/// A span, as OTLP's JSON has it.
#[derive(Debug, Clone)]
struct Span {
    id: String,
    parent: String,
    name: String,
    service: String,
    pod: String,
    /// Nanoseconds since 1970.
    start: u64,
    end: u64,
    attributes: BTreeMap<String, Value>,
}

impl Span {
    fn said(&self, name: &str) -> Value {
        self.attributes.get(name).cloned().unwrap_or(Value::Null)
    }

    fn milliseconds(&self) -> f64 {
        self.end.saturating_sub(self.start) as f64 / 1e6
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Names and values; of the kinds of values that we send.
fn attributes(list: &Value) -> BTreeMap<String, Value> {
    let pairs = list.as_array().into_iter().flatten();
    pairs
        .map(|pair| {
            let value = &pair["value"];
            let number = |value: &Value| value.as_str().and_then(|text| text.parse::<i64>().ok());
            let value = number(&value["intValue"])
                .map_or_else(|| value["stringValue"].clone(), Value::from);
            (text(&pair["key"]), value)
        })
        .collect()
}

/// All spans that the collector has of a trace.
fn spans(mut trace: impl FnMut(&BTreeMap<String, Value>, &Value) -> bool) -> Vec<Span> {
    let mut spans = Vec::new();
    // The last line may be half written.
    let file = fs::read_to_string(traces_file()).unwrap_or_default();
    for line in file.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        for resource in line["resourceSpans"].as_array().into_iter().flatten() {
            let of = attributes(&resource["resource"]["attributes"]);
            let scopes = resource["scopeSpans"].as_array().into_iter().flatten();
            for span in scopes.flat_map(|scope| scope["spans"].as_array().into_iter().flatten()) {
                let attributes = attributes(&span["attributes"]);
                if !trace(&attributes, span) {
                    continue;
                }
                let time = |name: &str| text(&span[name]).parse().expect("nanoseconds");
                let said = |name: &str| of.get(name).map(text).unwrap_or_default();
                spans.push(Span {
                    id: text(&span["spanId"]),
                    parent: text(&span["parentSpanId"]),
                    name: text(&span["name"]),
                    service: said("service.name"),
                    pod: said("k8s.pod.name"),
                    start: time("startTimeUnixNano"),
                    end: time("endTimeUnixNano"),
                    attributes,
                });
            }
        }
    }
    spans
}

/// The trace that has the root span of a job.
fn trace_of(uid: &str) -> Option<String> {
    let mut id = None;
    spans(|attributes, span| {
        let is_root = attributes.get("textnlp.job.uid").is_some_and(|found| found == uid);
        if is_root {
            id = Some(text(&span["traceId"]));
        }
        false
    });
    id
}

fn children<'a>(all: &'a [Span], of: &Span, name: &str) -> Vec<&'a Span> {
    all.iter().filter(|span| span.parent == of.id && span.name == name).collect()
}

#[track_caller]
fn child<'a>(all: &'a [Span], of: &Span, name: &str) -> &'a Span {
    let found = children(all, of, name);
    assert_eq!(found.len(), 1, "{name} in {of:?}: {found:?}");
    found[0]
}

#[test]
fn a_rows_trace_has_every_stage_from_its_job_to_the_last_token() {
    let _undisturbed = together();
    let space = Space::new("traces");
    let job = Job::small("tickets").with("source/limit", json!(2));
    space.start(&Model::small("smollm2"), &job);
    let done = space.until("gj/tickets", "Succeeded", |o| o["status"]["phase"] == "Succeeded");
    let uid = text(&done["metadata"]["uid"]);
    let trace = eventually("the job's root span", || {
        trace_of(&uid).ok_or_else(|| "it is not there".to_owned())
    });
    let read = || spans(|_, span| span["traceId"] == trace.as_str());
    // The server sends its spans a few seconds later, the one around the stages of a request last of these.
    let requests = done["status"]["usage"]["requests"].as_u64().expect("a number");
    let all = eventually("the servers' spans of all requests", || {
        let all = read();
        let served = all.iter().filter(|span| span.service == "textnlp-server");
        let found = served.filter(|span| span.name == "POST /v1/chat/completions").count() as u64;
        if found >= requests { Ok(all) } else { Err(format!("{found} of {requests}")) }
    });

    let root = all.iter().find(|span| span.name == "GenerationJob").expect("the root");
    assert_eq!(root.said("k8s.namespace.name"), space.name());
    assert_eq!((root.parent.as_str(), root.service.as_str()), ("", "textnlp-operator"));
    assert_eq!(root.said("textnlp.rows.accepted"), done["status"]["rows"]["accepted"]);
    let usage = &done["status"]["usage"];
    assert_eq!(root.said("gen_ai.usage.output_tokens"), usage["completionTokens"]);
    for (step, service) in [("prepare", "textnlp-prepare"), ("finalize", "textnlp-finalize")] {
        assert_eq!(child(&all, root, step).service, service);
    }
    let shards = children(&all, root, "shard");
    let rows: Vec<&Span> = shards.iter().flat_map(|shard| children(&all, shard, "row")).collect();
    assert_eq!(Some(rows.len() as i64), done["status"]["rows"]["requested"].as_i64());

    // One row, all the way down. Each part lies within the one around it, and the stages come one after the other.
    let row = rows.iter().min_by_key(|row| row.start).expect("a row");
    let column = child(&all, row, "column");
    let call = child(&all, column, "POST /v1/chat/completions");
    let served = child(&all, call, "POST /v1/chat/completions");
    assert_eq!(
        (call.service.as_str(), served.service.as_str()),
        ("textnlp-worker", "textnlp-server")
    );
    assert!(!served.pod.is_empty() && served.pod != call.pod, "{served:?}");
    assert_eq!(served.said("http.response.status_code"), 200);
    let stages = ["encode", "queue", "prefill", "decode"].map(|stage| child(&all, served, stage));
    assert!(stages[2].said("gen_ai.usage.input_tokens").as_i64() > Some(0));
    assert!(stages[3].said("gen_ai.usage.output_tokens").as_i64() > Some(0));
    let render = child(&all, column, "render");
    // Stages are told by a clock of their own, which is set by the wall's once: a moment may lie between the two.
    const MOMENT: u64 = 5_000_000;
    let path = [row, column, call, served];
    for (outer, inner) in path
        .iter()
        .zip(&path[1..])
        .map(|(outer, inner)| (*outer, *inner))
        .chain(stages.map(|stage| (served, stage)))
    {
        assert!(
            outer.start <= inner.start + MOMENT && inner.end <= outer.end + MOMENT,
            "{outer:?} {inner:?}"
        );
    }
    for pair in stages.windows(2) {
        assert!(pair[0].end <= pair[1].start + MOMENT, "{pair:?}");
    }
    let shard = shards.iter().find(|shard| shard.id == row.parent).expect("its shard");
    for (depth, span) in
        [root, shard, row, column, render, call, served].into_iter().chain(stages).enumerate()
    {
        let since = span.start.saturating_sub(root.start) as f64 / 1e6;
        println!(
            "{:indent$}{:<40} {since:>9.1} ms  + {:>9.1} ms  {}",
            "",
            span.name,
            span.milliseconds(),
            span.service,
            indent = depth.min(7) * 2
        );
    }

    // And the log says to which trace a call belongs.
    let pods = space.running("server");
    let pod = pods.first().expect("a server");
    let log = space.kubectl(&["logs", pod]).expect("its log");
    let line = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let audit: Vec<Value> = line.filter(|line| line["target"] == "audit").collect();
    assert!(audit.iter().any(|line| line["trace_id"] == trace.as_str()), "{audit:?}");
}

#[test]
fn a_local_run_is_part_of_the_trace_that_has_started_it() {
    let _undisturbed = together();
    let service =
        kubectl(&["--namespace", "observability", "get", "service/otelcol", "--output", "json"]);
    let service: Value = serde_json::from_str(&service.expect("the collector")).expect("JSON");
    let endpoint = format!("http://{}:4318", text(&service["spec"]["clusterIP"]));
    let directory = tempfile::tempdir().expect("a directory");
    let manifest = directory.path().join("job.yaml");
    let job = Job::small("local").with("source/limit", json!(3));
    fs::write(&manifest, job.0.to_string()).expect("it is written");
    // The collector's file may have the spans of earlier runs.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_nanos();
    let (trace, parent) = (format!("{now:032x}"), "b7ad6b7169203331");
    let output = Command::new(binary("textnlp"))
        .arg("run")
        .arg(&manifest)
        .arg("--model")
        .arg(model_file())
        .arg("--output")
        .arg(directory.path().join("out"))
        .envs([("OTEL_EXPORTER_OTLP_ENDPOINT", &*endpoint), ("TEXTNLP_TRACE_ROWS", "1")])
        .env("TRACEPARENT", format!("00-{trace}-{parent}-01"))
        .output()
        .expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let read = || spans(|_, span| span["traceId"] == trace.as_str());
    let all = eventually("the run's spans", || {
        let all = read();
        let run = all.iter().find(|span| span.name == "textnlp run").cloned();
        run.map(|run| (run, all)).ok_or_else(|| "they are not there".to_owned())
    });
    let (run, all) = all;
    assert_eq!((run.parent.as_str(), run.service.as_str()), (parent, "textnlp"));
    for step in ["prepare", "load", "finalize"] {
        child(&all, &run, step);
    }
    // One row is traced of all, and no span is of another.
    let row = child(&all, child(&all, &run, "generate"), "row");
    let column = child(&all, row, "column");
    for stage in ["render", "queue", "prefill", "decode"] {
        child(&all, column, stage);
    }
    assert_eq!(all.iter().filter(|span| span.name == "decode").count(), 1);
}
