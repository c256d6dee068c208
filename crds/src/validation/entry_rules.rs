//! Rules that metrics, filters and gates share: what each metric takes. No I/O.

use kube::core::Rule;

/// The metrics that count rows, and so have no column.
const WITHOUT_COLUMN: &str = "['failedRate', 'acceptedRows', 'acceptanceRate']";
/// The metrics that compare a column with a reference.
const WITH_REFERENCE: &str =
    "['bleu', 'bleuNltk', 'rouge1', 'rouge2', 'rougeL', 'rougeLsum', 'chrf', 'ter']";
/// The metrics that have a value for the whole dataset only.
pub(super) const WITHOUT_ROW_VALUES: &str = "['distinct', 'selfBleu', 'compressionRatio', 'duplicateRate', 'nearDuplicateRate', 'failedRate', 'acceptedRows', 'acceptanceRate']";

pub(super) fn column_rule() -> Rule {
    Rule::new(format!("self.metric in {WITHOUT_COLUMN} ? !has(self.column) : has(self.column)"))
        .message("column is required, except by failedRate, acceptedRows and acceptanceRate, which count rows and take none")
        .field_path(".column")
}

pub(super) fn reference_rule() -> Rule {
    Rule::new(format!(
        "self.metric in {WITH_REFERENCE} ? has(self.reference) : (self.metric == 'expression' || !has(self.reference))"
    ))
    .message(
        "reference is required by bleu, bleuNltk, rouge1, rouge2, rougeL, rougeLsum, chrf and ter; expression may have one, and no other metric takes one",
    )
    .field_path(".reference")
}

pub(super) fn pattern_rule() -> Rule {
    Rule::new("(self.metric != 'regex' || (has(self.params) && has(self.params.pattern))) && (self.metric != 'language' || (has(self.params) && has(self.params.is))) && (self.metric != 'jsonSchema' || (has(self.params) && has(self.params.schema))) && (self.metric != 'expression' || (has(self.params) && has(self.params.expression)))")
        .message("the metric regex needs params.pattern, language params.is, jsonSchema params.schema, and expression params.expression")
        .field_path(".params")
}

/// A parameter of another metric is refused rather than ignored.
pub(super) fn params_rule() -> Rule {
    let allowed = [
        ("n", "['distinct', 'selfBleu', 'repetition', 'bleuNltk']"),
        ("tokenize", "['bleu', 'bleuNltk']"),
        ("smoothing", "['bleu']"),
        ("smoothingValue", "['bleu']"),
        ("lowercase", "['bleu', 'chrf']"),
        ("method", "['bleuNltk']"),
        ("wordOrder", "['chrf']"),
        ("normalized", "['ter']"),
        ("noPunctuation", "['ter']"),
        ("asianSupport", "['ter']"),
        ("caseSensitive", "['ter']"),
        ("threshold", "['nearDuplicateRate']"),
        ("entities", "['pii']"),
        ("is", "['language']"),
        ("stemmer", "['rouge1', 'rouge2', 'rougeL', 'rougeLsum']"),
        ("pattern", "['regex']"),
        ("schema", "['jsonSchema']"),
        ("expression", "['expression']"),
    ];
    let each = allowed
        .iter()
        .map(|(param, metrics)| format!("(!has(self.params.{param}) || self.metric in {metrics})"))
        .collect::<Vec<_>>()
        .join(" && ");
    Rule::new(format!("!has(self.params) || ({each})"))
        .message("a parameter does not belong to this metric: n is for distinct, selfBleu, repetition and bleuNltk; tokenize for bleu and bleuNltk; smoothing and smoothingValue for bleu; lowercase for bleu and chrf; method for bleuNltk; wordOrder for chrf; normalized, noPunctuation, asianSupport and caseSensitive for ter; threshold for nearDuplicateRate; entities for pii; is for language; stemmer for rouge1, rouge2, rougeL and rougeLsum; pattern for regex; schema for jsonSchema; expression for expression")
        .field_path(".params")
}

/// The rule for types in which `metric` may be absent.
pub(super) fn guarded(mut rule: Rule) -> Rule {
    rule.rule = format!("!has(self.metric) || ({})", rule.rule);
    rule
}
