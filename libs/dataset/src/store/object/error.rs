//! What an object store answers, in words for the user: no request, no header, no secret. Pure.

use std::error::Error;

use super::super::{ObjectFailure, StoreError};
use crate::net::AddressError;

/// Longest message that is passed on.
const LIMIT: usize = 300;

/// Names a failed operation with the object it concerns.
pub(super) fn failure(
    operation: &'static str,
    place: String,
    error: &object_store::Error,
) -> StoreError {
    use object_store::Error as Of;
    let status = status_of(error);
    let kind = match error {
        Of::NotFound { .. } => ObjectFailure::NotFound,
        Of::PermissionDenied { .. } | Of::Unauthenticated { .. } => ObjectFailure::Denied,
        Of::Precondition { .. } => ObjectFailure::Changed,
        _ if matches!(status, Some(401 | 403)) => ObjectFailure::Denied,
        _ => ObjectFailure::Other,
    };
    let mut message = cause(error);
    if kind == ObjectFailure::Denied {
        message.push_str("; check the credentials, and what they allow");
    }
    StoreError::Object { operation, place, kind, message }
}

/// The reason in one line.
pub(super) fn cause(error: &(dyn Error + 'static)) -> String {
    if let Some(refusal) = AddressError::of(error) {
        return refusal.to_string();
    }
    // The outermost words say which store and which request; the innermost, why.
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    readable(&innermost.to_string())
}

fn status_of(error: &object_store::Error) -> Option<u16> {
    let text = error.to_string();
    let digits = text.split_once("status code: ")?.1.get(..3)?;
    digits.parse().ok()
}

/// Of a server's XML, its code and message only: the rest may repeat what was signed. Queries of addresses are cut, since
/// they may be signatures.
fn readable(text: &str) -> String {
    let (words, xml) = text.split_at(text.find('<').unwrap_or(text.len()));
    let element = |name: &str| {
        let inner = xml.split_once(&format!("<{name}>"))?.1.split_once("</")?.0;
        Some(inner.trim()).filter(|inner| !inner.is_empty())
    };
    let mut shown: Vec<String> = vec![words.trim().trim_end_matches(':').to_owned()];
    shown.extend(["Code", "Message"].iter().filter_map(|name| element(name)).map(str::to_owned));
    shown.retain(|part| !part.is_empty());
    let line: Vec<String> = shown.join(": ").split_whitespace().map(without_query).collect();
    let mut line = line.join(" ").replace(|c: char| c.is_control(), " ");
    if let Some((end, _)) = line.char_indices().nth(LIMIT) {
        line.truncate(end);
        line.push('…');
    }
    line
}

fn without_query(word: &str) -> String {
    match word.split_once('?') {
        Some((before, _)) if word.contains("://") => format!("{before}?…"),
        _ => word.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_an_answer_only_code_and_message_are_shown() {
        let check = |text: &str, expect: &str| assert_eq!(readable(text), expect);
        check("connection refused", "connection refused");
        check(
            "Server returned non-2xx status code: 403 Forbidden: <?xml version=\"1.0\"?>\n<Error><Code>SignatureDoesNotMatch</Code><Message>The request signature does not match.</Message><StringToSign>AWS4 secret</StringToSign></Error>",
            "Server returned non-2xx status code: 403 Forbidden: SignatureDoesNotMatch: The request signature does not match.",
        );
        check("cannot get https://x.blob/a?sig=secret now", "cannot get https://x.blob/a?… now");
        check("502 Bad Gateway: <html><body>nginx</body></html>", "502 Bad Gateway");
        assert_eq!(readable(&"x".repeat(1000)).chars().count(), LIMIT + 1);
    }
}
