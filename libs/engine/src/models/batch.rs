//! Checks a [`Batch`] against the contract before any arithmetic, so that no model indexes out of bounds.

use crate::model::{Batch, ModelError, ModelInfo, Outputs, PageCopy, Span};

/// Checks a step: the batch fits the model, every position has a reserved page, and no page is written by two spans.
/// Returns the number of rows that need logits.
pub(super) fn check(
    batch: &Batch<'_>,
    info: &ModelInfo,
    reserved: u32,
) -> Result<usize, ModelError> {
    let invalid = |message: String| Err(ModelError::Batch(message));
    let rows = batch.spans.iter().try_fold(0usize, |sum, span| sum.checked_add(span.rows));
    if rows != Some(batch.tokens.len()) {
        return invalid(format!(
            "the spans' rows do not add up to the {} tokens",
            batch.tokens.len()
        ));
    }
    if batch.tokens.len() > info.max_rows {
        return invalid(format!(
            "{} rows, at most {} are allowed",
            batch.tokens.len(),
            info.max_rows
        ));
    }
    if let Some(token) = batch.tokens.iter().find(|&&token| token as usize >= info.vocab_size) {
        return invalid(format!(
            "token {token} is not below the vocabulary's size, {}",
            info.vocab_size
        ));
    }
    for (index, span) in batch.spans.iter().enumerate() {
        if let Err(message) = check_span(span, info, reserved) {
            return invalid(format!("span {index}: {message}"));
        }
    }
    if let Some(page) = page_written_twice(batch, info.page_tokens) {
        return invalid(format!("page {page} is written by two spans"));
    }
    Ok(batch.spans.iter().map(output_rows).sum())
}

/// Rows of a span that need logits.
pub(super) fn output_rows(span: &Span<'_>) -> usize {
    match span.outputs {
        Outputs::None => 0,
        Outputs::Last => 1,
        Outputs::All => span.rows,
    }
}

fn check_span(span: &Span<'_>, info: &ModelInfo, reserved: u32) -> Result<(), String> {
    if span.rows == 0 {
        return Err("no rows".into());
    }
    let end = span
        .first_position
        .checked_add(span.rows)
        .filter(|&end| end <= info.context_tokens)
        .ok_or_else(|| {
            format!(
                "{} rows from position {} do not fit the context of {} tokens",
                span.rows, span.first_position, info.context_tokens
            )
        })?;
    if span.pages.len() < end.div_ceil(info.page_tokens) {
        return Err(format!("{} pages hold fewer than {end} tokens", span.pages.len()));
    }
    match span.pages.iter().find(|&&page| page >= reserved) {
        Some(page) => Err(format!("page {page} is not among the {reserved} reserved")),
        None => Ok(()),
    }
}

fn page_written_twice(batch: &Batch<'_>, page_tokens: usize) -> Option<u32> {
    let written = |span: &Span<'_>| {
        let first = span.first_position / page_tokens;
        let end = (span.first_position + span.rows).div_ceil(page_tokens);
        span.pages[first..end].to_vec()
    };
    let mut pages: Vec<u32> = batch.spans.iter().flat_map(written).collect();
    pages.sort_unstable();
    pages.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0])
}

/// Checks page copies before any is done.
pub(super) fn check_copies(
    copies: &[PageCopy],
    info: &ModelInfo,
    reserved: u32,
) -> Result<(), ModelError> {
    let fits = |copy: &&PageCopy| {
        copy.from < reserved && copy.to < reserved && copy.tokens <= info.page_tokens
    };
    match copies.iter().find(|copy| !fits(copy)) {
        None => Ok(()),
        Some(copy) => Err(ModelError::Batch(format!(
            "copy of {} tokens from page {} to page {}: pages hold {} tokens and {reserved} are reserved",
            copy.tokens, copy.from, copy.to, info.page_tokens
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info() -> ModelInfo {
        ModelInfo {
            vocab_size: 100,
            context_tokens: 64,
            page_tokens: 16,
            page_bytes: 1,
            max_rows: 8,
            numerics: "test".into(),
            batch_invariant: true,
        }
    }

    fn span(rows: usize, first_position: usize, pages: &[u32]) -> Span<'_> {
        Span { rows, first_position, pages, outputs: Outputs::Last }
    }

    #[track_caller]
    fn refused(tokens: &[u32], spans: &[Span<'_>], expect: &str) {
        let message =
            check(&Batch { tokens, spans }, &info(), 4).expect_err("must be refused").to_string();
        assert!(message.contains(expect), "{message}");
    }

    #[test]
    fn a_batch_within_the_contract_is_accepted() {
        let spans = [span(2, 15, &[0, 1]), Span { outputs: Outputs::All, ..span(3, 0, &[2]) }];
        assert_eq!(
            check(&Batch { tokens: &[0, 1, 2, 3, 99], spans: &spans }, &info(), 4).expect("valid"),
            4
        );
        assert_eq!(
            check(&Batch { tokens: &[], spans: &[] }, &info(), 0).expect("an empty step is valid"),
            0
        );
    }

    #[test]
    fn every_breach_of_the_contract_is_named() {
        refused(&[1], &[span(2, 0, &[0])], "do not add up to the 1 tokens");
        refused(&[1; 9], &[span(9, 0, &[0])], "9 rows, at most 8");
        refused(&[100], &[span(1, 0, &[0])], "token 100 is not below");
        refused(&[], &[span(0, 0, &[0])], "span 0: no rows");
        refused(&[1, 1], &[span(2, 63, &[0, 1, 2, 3])], "do not fit the context of 64");
        refused(&[1], &[span(1, usize::MAX, &[0])], "do not fit the context");
        refused(&[1], &[span(usize::MAX, 0, &[0]), span(2, 0, &[0])], "do not add up");
        refused(&[1], &[span(1, 16, &[0])], "1 pages hold fewer than 17 tokens");
        refused(&[1], &[span(1, 0, &[4])], "page 4 is not among the 4 reserved");
        refused(
            &[1, 1],
            &[span(1, 0, &[3]), span(1, 16, &[0, 3])],
            "page 3 is written by two spans",
        );
    }

    #[test]
    fn copies_outside_the_reserved_pages_are_refused() {
        let copy = PageCopy { from: 0, to: 3, tokens: 16 };
        assert!(check_copies(&[copy], &info(), 4).is_ok());
        for bad in [
            PageCopy { from: 4, ..copy },
            PageCopy { to: 4, ..copy },
            PageCopy { tokens: 17, ..copy },
        ] {
            assert!(check_copies(&[copy, bad], &info(), 4).is_err());
        }
    }
}
