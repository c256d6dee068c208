//! A template's source before it is compiled: limits that keep the compiler's recursion bounded, and the one tag that
//! transformers knows and minijinja does not.

use super::ChatError;

/// Longest template accepted; the longest in use have a quarter of it.
const MAX_TEMPLATE_BYTES: usize = 128 << 10;

/// Longest expression or statement, without the string literals in it. The compiler recurses along chains of
/// operators (`1+1+…`, `x.a.a…`), which its own limit on nesting does not count.
const MAX_TAG_BYTES: usize = 2 << 10;

/// Most `elif` of a template, for the same reason.
const MAX_ELIFS: usize = 1000;

/// Checks the limits, and returns the source with `{% generation %}` turned into a condition that holds.
pub(super) fn prepare(source: &str) -> Result<String, ChatError> {
    check("the template (bytes)", source.len(), MAX_TEMPLATE_BYTES)?;
    let mut prepared = String::with_capacity(source.len());
    let mut elifs = 0;
    let mut rest = source;
    while let Some(start) =
        rest.find("{{").into_iter().chain(rest.find("{%")).chain(rest.find("{#")).min()
    {
        let (text, tag) = rest.split_at(start);
        let (length, code) = match tag.as_bytes().get(1) {
            Some(b'#') => (tag.find("#}").map_or(tag.len(), |end| end + 2), 0),
            Some(b'{') => tag_length(tag, "}}"),
            _ => tag_length(tag, "%}"),
        };
        check("an expression (bytes, without strings)", code, MAX_TAG_BYTES)?;
        let (tag, after) = tag.split_at(length);
        elifs += usize::from(statement(tag).is_some_and(|words| words.starts_with("elif")));
        prepared.push_str(text);
        prepared.push_str(&match statement(tag) {
            Some("generation") => tag.replacen("generation", "if true", 1),
            Some("endgeneration") => tag.replacen("endgeneration", "endif", 1),
            _ => tag.to_owned(),
        });
        rest = after;
    }
    prepared.push_str(rest);
    check("the template (`elif` in it)", elifs, MAX_ELIFS)?;
    Ok(prepared)
}

fn check(what: &'static str, found: usize, limit: usize) -> Result<(), ChatError> {
    if found > limit { Err(ChatError::Limit { what, found, limit }) } else { Ok(()) }
}

/// Length of a tag from its opening to its end, and how much of it is outside string literals.
fn tag_length(tag: &str, end: &str) -> (usize, usize) {
    let bytes = tag.as_bytes();
    let (mut position, mut code) = (2, 0);
    let mut quote = None;
    while let Some(&byte) = bytes.get(position) {
        match quote {
            Some(_) if byte == b'\\' => position += 1,
            Some(open) if byte == open => quote = None,
            Some(_) => {}
            None if bytes[position..].starts_with(end.as_bytes()) => return (position + 2, code),
            None => {
                quote = (byte == b'"' || byte == b'\'').then_some(byte);
                code += 1;
            }
        }
        position += 1;
    }
    (tag.len(), code)
}

/// The words inside `{% … %}`.
fn statement(tag: &str) -> Option<&str> {
    let inside = tag.strip_prefix("{%")?.strip_suffix("%}")?;
    let inside = inside.strip_prefix(['-', '+']).unwrap_or(inside);
    Some(inside.strip_suffix(['-', '+']).unwrap_or(inside).trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generation_tags_become_conditions_and_all_else_stays() {
        let check = |source: &str, expect: &str| assert_eq!(prepare(source).unwrap(), expect);
        check("{%- generation -%}a{% endgeneration %}", "{%- if true -%}a{% endif %}");
        check(
            "{{ '{% generation %}' }}{# {% generation %} #}",
            "{{ '{% generation %}' }}{# {% generation %} #}",
        );
        check("{% if generation %}é{% endif %}", "{% if generation %}é{% endif %}");
        check("{{ 'a\\'}}' }}x{{ unfinished", "{{ 'a\\'}}' }}x{{ unfinished");
        check("{", "{");
        check("{% generation", "{% generation");
        check("{%%}{{}}{#", "{%%}{{}}{#");
    }

    #[test]
    fn long_strings_are_allowed_but_long_expressions_are_not() {
        assert!(prepare(&format!("{{{{ '{}' }}}}", "+1".repeat(2000))).is_ok());
        let error = prepare(&format!("{{{{ 1{} }}}}", "+1".repeat(2000))).unwrap_err();
        assert_eq!(
            error.to_string(),
            "chat template: an expression (bytes, without strings) has 4003, at most 2048 are accepted"
        );
        assert!(matches!(
            prepare(&"{% elif x %}".repeat(1001)),
            Err(ChatError::Limit { found: 1001, .. })
        ));
        assert!(matches!(prepare(&"x".repeat(1 << 20)), Err(ChatError::Limit { .. })));
    }
}
