//! What the flags ask for.

use serde_json::{Map, Value};
use textnlp_generation::evaluation::Given;
use textnlp_generation::scoring::{Asked, Scoring};
use textnlp_validation::{Bootstrap, Range, registry};

use crate::args::ValidateArgs;
use crate::failure::Failure;

/// The metrics of the flags.
pub(super) struct Measured {
    pub(super) scoring: Scoring,
    /// The metrics of the user's own programs.
    pub(super) commands: Vec<Command>,
}

/// A user's program that scores rows.
pub(super) struct Command {
    pub(super) metric: Given,
    /// What the shell runs.
    pub(super) line: String,
}

impl Measured {
    /// Builds the metrics with their parameters and gates; a gate or parameter of a metric that was not asked for is an error.
    pub(super) fn new(args: &ValidateArgs, column: &str) -> Result<Self, Failure> {
        let params = args.param.iter().map(|p| parse_param(p)).collect::<Result<Vec<_>, _>>()?;
        let gates = args.gate.iter().map(|g| parse_gate(g)).collect::<Result<Vec<_>, _>>()?;
        let commands =
            args.metric_command.iter().map(|c| parse_command(c)).collect::<Result<Vec<_>, _>>()?;
        let names = args.metrics.iter().chain(commands.iter().map(|(name, _)| name));
        once("metric", names)?;
        once("gate of", gates.iter().map(|(metric, _)| metric))?;
        let own = |name: &String| commands.iter().any(|(command, _)| command == name);
        if let Some(stranger) =
            params.iter().map(|(metric, ..)| metric).find(|name| !args.metrics.contains(name))
        {
            return Err(stray(stranger, args));
        }
        if let Some(stranger) =
            gates.iter().map(|(m, _)| m).find(|name| !args.metrics.contains(name) && !own(name))
        {
            return Err(stray(stranger, args));
        }
        let gate =
            |name: &str| gates.iter().find(|(metric, _)| metric == name).map(|(_, range)| *range);
        let mut scoring = Scoring::default();
        for name in &args.metrics {
            let given: Map<String, Value> = (params.iter().filter(|(metric, ..)| metric == name))
                .map(|(_, param, value)| (param.clone(), value.clone()))
                .collect();
            let info = registry::info(name);
            if info.is_some_and(|info| info.needs_reference) && args.reference.is_none() {
                return Err(Failure::usage(format!(
                    "{name} compares with references: name their field with --reference"
                )));
            }
            scoring.add_metric(Asked {
                metric: name.clone(),
                params: Value::Object(given),
                column: column.to_owned(),
                reference: args.reference.clone(),
                gate: gate(name),
            })?;
        }
        if let Some(level) = args.confidence {
            scoring.set_bootstrap(Bootstrap { level, ..Bootstrap::default() });
        }
        let commands = commands
            .into_iter()
            .map(|(name, line)| Command { metric: Given { gate: gate(&name), name }, line });
        Ok(Self { scoring, commands: commands.collect() })
    }
}

fn stray(name: &str, args: &ValidateArgs) -> Failure {
    Failure::usage(format!("{name:?} is not among --metrics {}", args.metrics.join(",")))
}

/// A second one would be overlooked.
fn once<'a>(what: &str, names: impl Iterator<Item = &'a String>) -> Result<(), Failure> {
    let mut seen = Vec::new();
    for name in names {
        if seen.contains(&name) {
            return Err(Failure::usage(format!(
                "the {what} {name} is given twice; once is enough"
            )));
        }
        seen.push(name);
    }
    Ok(())
}

fn parse_param(text: &str) -> Result<(String, String, Value), Failure> {
    let wrong = || {
        Failure::usage(format!(
            "--param {text:?}: expected METRIC.NAME=VALUE, as in rougeL.stemmer=true"
        ))
    };
    let (name, value) = text.split_once('=').ok_or_else(wrong)?;
    let (metric, param) = name.split_once('.').ok_or_else(wrong)?;
    let value = serde_saphyr::from_str(value)
        .map_err(|e| Failure::usage(format!("--param {text:?}: {e}")))?;
    Ok((metric.to_owned(), param.to_owned(), value))
}

fn parse_gate(text: &str) -> Result<(String, Range), Failure> {
    let wrong = |why: &str| {
        Failure::usage(format!(
            "--gate {text:?}: {why}; expected METRIC=min:X, METRIC=max:X or METRIC=min:X,max:Y"
        ))
    };
    let (metric, bounds) = text.split_once('=').ok_or_else(|| wrong("there is no `=`"))?;
    let (mut min, mut max) = (None, None);
    for bound in bounds.split(',') {
        let (side, value) = bound.split_once(':').ok_or_else(|| wrong("a bound has no `:`"))?;
        let value: f64 = value.trim().parse().map_err(|_| wrong("a bound is no number"))?;
        match side.trim() {
            "min" if min.is_none() => min = Some(value),
            "max" if max.is_none() => max = Some(value),
            "min" | "max" => return Err(wrong("a bound is given twice")),
            _ => return Err(wrong("a bound is neither min nor max")),
        }
    }
    let range = Range::new(min, max).map_err(|e| wrong(&e.to_string()))?;
    Ok((metric.to_owned(), range))
}

fn parse_command(text: &str) -> Result<(String, String), Failure> {
    let wrong = |why: &str| {
        Failure::usage(format!(
            "--metric-command {text:?}: {why}; expected NAME=COMMAND, as in politeness='python3 politeness.py'"
        ))
    };
    let (name, line) = text.split_once('=').ok_or_else(|| wrong("there is no `=`"))?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if name.is_empty() || name.len() > 63 || !name.chars().all(allowed) {
        return Err(wrong("the name has 1 to 63 letters, digits, `-` and `_`"));
    }
    if registry::info(name).is_some() {
        return Err(wrong("there is a metric of this name"));
    }
    if line.trim().is_empty() {
        return Err(wrong("the command is empty"));
    }
    Ok((name.to_owned(), line.to_owned()))
}
