//! `expression`: a user's own metric, as a CEL expression over the text.

use crate::definition::{Definition, Mean, RowMetric};
use crate::expression::Expression;
use crate::metric::{Info, RowError, Sample, Scale};
use crate::params::{ParamError, ParamInfo, ParamKind, Params, quote};

pub(crate) const INFO: Info = Info {
    name: "expression",
    description: "The number that a CEL expression yields for the text; true is 1, false 0; the dataset's value is the mean. The expression reads text, references (a list, empty if no reference is set), tokens and finishReason (null if no model wrote the text).",
    scale: Scale::Real,
    row: true,
    needs_reference: false,
    needs_text: true,
    params: &[ParamInfo {
        name: "expression",
        description: "The expression, for example: text.endsWith('.') or double(size(text)) / 80.0.",
        kind: ParamKind::Text(4_096),
    }],
};

struct Measure(Expression);

pub(crate) fn new(params: &Params) -> Result<impl Definition + use<>, ParamError> {
    let source = params.text("expression");
    match Expression::compile_measure(source) {
        Ok(expression) => Ok(Mean(Measure(expression))),
        Err(error) => Err(ParamError::new(
            "params.expression",
            format!("{} ({error})", quote(source)),
            "a CEL expression over text, references, tokens and finishReason that yields a number or bool",
        )),
    }
}

impl RowMetric for Measure {
    fn value(&self, sample: &Sample<'_>) -> Result<f64, RowError> {
        Ok(self.0.measure(sample)?)
    }

    fn signature(&self) -> String {
        // A bar in the expression must not look like the next field.
        format!("cel:{}|version:1", self.0.source().replace('|', "\\x7c"))
    }
}

#[cfg(test)]
mod tests {
    use crate::registry;
    use crate::{Metric, Sample};
    use serde_json::json;

    fn value(expression: &str, sample: &Sample<'_>) -> Result<f64, String> {
        let metric = registry::build("expression", &json!({"expression": expression}));
        let Metric::Text(metric) = metric.map_err(|error| error.to_string())? else {
            return Err("no metric of texts".to_owned());
        };
        metric.row(sample).map(|value| value.unwrap()).map_err(|error| error.to_string())
    }

    const SAMPLE: Sample<'_> = Sample {
        id: "0-0",
        text: "Hello, world.",
        references: &["Hello", "Bye"],
        tokens: Some(4),
        finish_reason: Some("stop"),
    };

    #[test]
    fn an_expression_measures_a_text() {
        for (expression, expect) in [
            ("size(text)", 13.0),
            ("text.endsWith('.')", 1.0),
            ("references.exists(r, r == 'Bye') ? 2.5 : 0.0", 2.5),
            ("double(size(text)) / double(tokens)", 3.25),
            ("finishReason == 'length'", 0.0),
        ] {
            assert_eq!(value(expression, &SAMPLE), Ok(expect), "{expression}");
        }
        let bare = Sample { references: &[], tokens: None, finish_reason: None, ..SAMPLE };
        assert_eq!(value("size(references) == 0 && tokens == null", &bare), Ok(1.0));
    }

    #[test]
    fn what_is_no_number_or_never_ends_is_an_error_that_says_so() {
        let ones = "[1,1,1,1,1,1,1,1,1,1]";
        let loops =
            (0..8).fold("1".to_owned(), |inner, i| format!("{ones}.map(v{i}, {inner}).size()"));
        for (expression, part) in [
            ("text", "not a number or bool"),
            ("1.0 / 0.0", "no number from"),
            ("row.x", "there are text, references, tokens, finishReason"),
            ("text.", "CEL expression"),
            (loops.as_str(), "too many steps"),
        ] {
            let found = value(expression, &SAMPLE).unwrap_err();
            assert!(found.contains(part), "{expression}: {found}");
        }
    }
}
