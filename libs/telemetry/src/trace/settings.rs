//! What the environment says of traces, in OpenTelemetry's words. Pure.

use opentelemetry_sdk::trace::Sampler;

/// Rows of a job that are traced where nothing else is said.
pub const DEFAULT_ROWS: u64 = 1000;

/// Where spans are sent.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
const PROTOCOLS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"];
const EXPORTER: &str = "OTEL_TRACES_EXPORTER";
const DISABLED: &str = "OTEL_SDK_DISABLED";
const SAMPLER: &str = "OTEL_TRACES_SAMPLER";
const SAMPLER_ARGUMENT: &str = "OTEL_TRACES_SAMPLER_ARG";
const ROWS: &str = "TEXTNLP_TRACE_ROWS";

/// How traces are made.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Which traces are sent.
    pub sampler: Sampler,
    /// At most so many rows of a job (of each step of it) are traced.
    pub rows: u64,
}

/// A variable that says what cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name} is {found:?}: {allowed}")]
pub struct SettingsError {
    name: &'static str,
    found: String,
    allowed: &'static str,
}

impl Settings {
    /// The settings; none where traces are off.
    ///
    /// # Errors
    /// A variable's value is not one of those that are known.
    pub fn of(variable: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, SettingsError> {
        // An empty variable counts as one that is not there: so says the specification.
        let get = |name: &'static str| {
            variable(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
        };
        if get(DISABLED).is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return Ok(None);
        }
        match get(EXPORTER).as_deref() {
            None | Some("otlp") => {}
            Some("none") => return Ok(None),
            Some(found) => return Err(wrong(EXPORTER, found, "use otlp or none")),
        }
        let Some((name, endpoint)) = ENDPOINTS.iter().find_map(|name| Some((*name, get(name)?)))
        else {
            return Ok(None);
        };
        if !endpoint.starts_with("http://") && !endpoint.starts_with("https://") {
            return Err(wrong(name, &endpoint, "use an address such as http://collector:4318"));
        }
        let authority = endpoint.split('/').nth(2).unwrap_or_default();
        if authority.contains('@') {
            let allowed = "credentials belong into OTEL_EXPORTER_OTLP_HEADERS, where no manifest and no log shows them";
            return Err(wrong(name, "an address with credentials", allowed));
        }
        if let Some((name, found)) = PROTOCOLS.iter().find_map(|name| Some((*name, get(name)?)))
            && found != "http/protobuf"
        {
            let allowed =
                "spans are sent as http/protobuf, to a collector's HTTP port (4318, not 4317)";
            return Err(wrong(name, &found, allowed));
        }
        let rows = match get(ROWS) {
            None => DEFAULT_ROWS,
            Some(found) => {
                found.parse().map_err(|_| wrong(ROWS, &found, "use a number of rows, 0 or more"))?
            }
        };
        Ok(Some(Self { sampler: sampler(&get)?, rows }))
    }
}

fn wrong(name: &'static str, found: &str, allowed: &'static str) -> SettingsError {
    SettingsError { name, found: found.to_owned(), allowed }
}

fn sampler(get: &impl Fn(&'static str) -> Option<String>) -> Result<Sampler, SettingsError> {
    let Some(name) = get(SAMPLER) else { return Ok(parent_based(Sampler::AlwaysOn)) };
    let ratio = || match get(SAMPLER_ARGUMENT) {
        None => Ok(Sampler::TraceIdRatioBased(1.0)),
        Some(found) => match found.parse::<f64>() {
            Ok(ratio) if (0.0..=1.0).contains(&ratio) => Ok(Sampler::TraceIdRatioBased(ratio)),
            _ => Err(wrong(SAMPLER_ARGUMENT, &found, "use a number from 0 to 1")),
        },
    };
    Ok(match name.as_str() {
        "always_on" => Sampler::AlwaysOn,
        "always_off" => Sampler::AlwaysOff,
        "traceidratio" => ratio()?,
        "parentbased_always_on" => parent_based(Sampler::AlwaysOn),
        "parentbased_always_off" => parent_based(Sampler::AlwaysOff),
        "parentbased_traceidratio" => parent_based(ratio()?),
        found => {
            let allowed =
                "use always_on, always_off, traceidratio or one of these behind parentbased_";
            return Err(wrong(SAMPLER, found, allowed));
        }
    })
}

fn parent_based(root: Sampler) -> Sampler {
    Sampler::ParentBased(Box::new(root))
}

/// Which rows are traced: a few, spread evenly over the job, the same ones each time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rows {
    /// Every so manieth; 0: none.
    every: u64,
}

impl Rows {
    /// At most `limit` of `total`.
    pub fn new(limit: u64, total: u64) -> Self {
        Self { every: if limit == 0 { 0 } else { total.div_ceil(limit).max(1) } }
    }

    /// Whether the row is traced that has this number in the job.
    pub fn includes(self, row: u64) -> bool {
        self.every != 0 && row.is_multiple_of(self.every)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(variables: &[(&str, &str)]) -> Result<Option<Settings>, SettingsError> {
        Settings::of(|name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn traces_are_off_without_an_endpoint_and_where_they_are_turned_off() {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");
        assert!(settings(&[]).expect("valid").is_none());
        assert!(settings(&[("OTEL_EXPORTER_OTLP_ENDPOINT", " ")]).expect("valid").is_none());
        assert!(settings(&[endpoint, ("OTEL_SDK_DISABLED", "TRUE")]).expect("valid").is_none());
        assert!(settings(&[endpoint, ("OTEL_TRACES_EXPORTER", "none")]).expect("valid").is_none());
        let on = settings(&[endpoint]).expect("valid").expect("on");
        assert_eq!(format!("{:?}", on.sampler), "ParentBased(AlwaysOn)");
        assert_eq!(on.rows, DEFAULT_ROWS);
    }

    #[test]
    fn samplers_are_those_of_the_specification() {
        let sampler = |name, argument| {
            let variables = [
                ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://collector/v1/traces"),
                ("OTEL_TRACES_SAMPLER", name),
                ("OTEL_TRACES_SAMPLER_ARG", argument),
            ];
            settings(&variables).map(|settings| format!("{:?}", settings.expect("on").sampler))
        };
        let found = |name, argument| sampler(name, argument).expect("valid");
        assert_eq!(found("always_off", ""), "AlwaysOff");
        assert_eq!(found("traceidratio", "0.25"), "TraceIdRatioBased(0.25)");
        assert_eq!(found("parentbased_traceidratio", ""), "ParentBased(TraceIdRatioBased(1.0))");
        let error = sampler("parentbased_traceidratio", "25%").expect_err("no number");
        assert_eq!(
            error.to_string(),
            "OTEL_TRACES_SAMPLER_ARG is \"25%\": use a number from 0 to 1"
        );
        assert!(sampler("traceidratio", "NaN").is_err());
        assert!(sampler("jaeger_remote", "").is_err());
    }

    #[test]
    fn what_would_silently_not_be_sent_is_refused() {
        let with = |name, value| {
            settings(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318"), (name, value)])
                .expect_err("refused")
                .to_string()
        };
        let grpc = with("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");
        assert!(grpc.contains("http/protobuf") && grpc.contains("4318"), "{grpc}");
        assert!(with("OTEL_TRACES_EXPORTER", "zipkin").contains("otlp"));
        assert!(with("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "collector:4318").contains("http://"));
        let secret = with("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://me:secret@c:4318");
        assert!(secret.contains("HEADERS") && !secret.contains("me:"), "{secret}");
        assert!(with("TEXTNLP_TRACE_ROWS", "-1").contains("TEXTNLP_TRACE_ROWS is \"-1\""));
    }
}
