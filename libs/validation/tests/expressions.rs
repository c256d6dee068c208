//! CEL expressions over rows: what they answer, what they refuse, and that they end.

use serde_json::{Map, Value, json};
use textnlp_validation::Expression;

fn row() -> Map<String, Value> {
    let row = json!({
        "ticket": "My Kettle leaks. ÄÖ",
        "product": "Kettle",
        "count": 3,
        "score": 0.5,
        "whole": 2.0,
        "big": 18446744073709551615_u64,
        "flag": true,
        "none": null,
        "tags": ["hot", "water", "hot"],
        "numbers": [1, 2.5, 3],
        "meta": {"lang": "en", "size": {"h": 20}, "odd key": 1},
    });
    match row {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

#[test]
fn expressions_answer_as_the_language_definition_says() {
    for (source, expect) in [
        ("row.ticket.contains(row.product)", true),
        ("row.ticket.contains('kettle')", false),
        (
            "row.ticket.lowerAscii().contains('kettle') && row.ticket.upperAscii().contains('KETTLE')",
            true,
        ),
        ("row.ticket.startsWith('My') && row.ticket.endsWith('ÄÖ')", true),
        ("row.ticket.matches('^My [A-Z][a-z]+') && !row.ticket.matches('^leaks')", true),
        ("row.product.matches('^' + row.product + '$')", true),
        ("size(row.ticket) == 19 && row.ticket.size() == 19", true), // characters, not bytes
        ("' a '.trim() == 'a'", true),
        ("row.count > 2 && row.count <= 3 && row.count == 3.0 && row.whole == 2", true),
        (
            "row.score < 1 && row.big > row.count && row.big > 1.5 && row.big == 18446744073709551615u",
            true,
        ),
        (
            "row.count + 1 == 4 && row.count - 4 == -1 && row.count * 2 == 6 && row.count / 2 == 1 && row.count % 2 == 1",
            true,
        ),
        ("row.score * 2.0 == 1.0 && -row.score == -0.5 && 1.0 / 0.0 > 5", true),
        (
            "double(row.count) / 2.0 == 1.5 && int(row.score) == 0 && int('12') == 12 && string(row.count) == '3' && uint(1) == 1u",
            true,
        ),
        ("9223372036854775807 == 9223372036854775807.0", false), // exact: the double is 2^63
        ("row.flag ? row.count == 3 : row.missing", true),
        ("row.none == null && row.none != 0", true),
        ("'hot' in row.tags && !('cold' in row.tags) && 'lang' in row.meta", true),
        ("row.tags[1] == 'water' && row.meta['odd key'] == 1 && row.meta.size.h == 20", true),
        (
            "row.tags.exists(t, t == 'water') && row.tags.all(t, t.size() > 2) && row.tags.exists_one(t, t == 'water')",
            true,
        ),
        (
            "row.tags.filter(t, t == 'hot') == ['hot', 'hot'] && row.tags.map(t, t.size()) == [3, 5, 3]",
            true,
        ),
        ("row.tags.map(t, t != 'hot', t + '!') == ['water!']", true),
        ("row.numbers.all(n, n >= 1) && row.numbers == [1.0, 2.5, 3u]", true),
        ("row.meta.map(k, k)[0] == 'lang'", true), // in the row's order
        ("has(row.meta.lang) && !has(row.meta.script) && has(row.none)", true),
        ("row.missing == 1 || row.count == 3", true), // one side decides
        ("row.count == 4 && row.missing == 1", false),
        ("[1, 'a', 2].exists(x, x > 1)", true), // an element that fails does not hide another
        (
            "{'a': 1, 2: 'b'} == {2: 'b', 'a': 1.0} && {'a': 1}.a == 1 && {1: 2}[1] == 2 && size({}) == 0",
            true,
        ),
        ("row.meta == {'lang': 'en', 'size': {'h': 20}, 'odd key': 1}", true),
        ("'a' + 'b' == 'ab' && 'a' < 'b' && [1] + [2] == [1, 2] && 'ä' > 'z'", true),
        ("0.0 / 0.0 == 0.0 / 0.0 || 0.0 / 0.0 < 1.0", false),
        ("[[1], [2]].all(x, x.all(y, y > 0))", true),
        ("true // a comment", true),
        (r#""\u00e4" == 'ä' && r'\d' == '\\d' && 'a"b' == "a\"b""#, true),
        ("row.ticket == row['ticket'] &&\n  row.flag", true),
    ] {
        let expression = Expression::compile(source).unwrap_or_else(|e| panic!("{source}: {e}"));
        assert_eq!(expression.evaluate(&row()), Ok(expect), "{source}");
    }
}

#[test]
fn rows_that_do_not_fit_are_errors_that_name_the_reason() {
    for (source, expect) in [
        (
            "row.colour == 'red'",
            "there is no field `colour`; there are `ticket`, `product`, `count`",
        ),
        ("row.ticket", "the result is of type string, not bool"),
        ("row.ticket.kettle", "string has no field `kettle`"),
        ("row.ticket > 1", "string and int have no order"),
        ("row.count + 'x' == ''", "`+` does not take int and string"),
        ("row.count + 0.5 > 1.0", "`+` does not take int and double"),
        ("row.count && true", "join bools, not int"),
        ("row.count.contains('3')", "`contains` does not take int and string"),
        ("row.tags[3] == ''", "outside the list of 3 elements"),
        ("row.tags[-1] == ''", "outside the list of 3 elements"),
        ("row.tags['a'] == ''", "a list is indexed by int, not string"),
        ("row.count[0] == 1", "int has no elements"),
        ("row.count / 0 == 1", "division by zero"),
        ("row.count % 0 == 1", "division by zero"),
        ("9223372036854775807 + row.count > 0", "leaves the range of 64-bit integers"),
        ("int(1e30) > 0", "out of range"),
        ("int('x') > 0", "`x` is no number"),
        ("row.count.exists(x, true)", "a loop needs a list or a map, not int"),
        ("{row.product: 1, 'Kettle': 2} == {}", "the same key twice"),
        ("{1.5: 1} == {}", "double cannot be the key of a map"),
        ("row.product.matches('(' + row.product)", "no regular expression"),
        ("'x' in row.ticket", "`in` needs a list or a map, not string"),
        ("(row.count ? 1 : 2) == 1", "the condition before `?` is of type int"),
        ("!row.count", "`!` does not take int"),
    ] {
        let expression = Expression::compile(source).unwrap_or_else(|e| panic!("{source}: {e}"));
        let error = expression.evaluate(&row()).expect_err(source).to_string();
        assert!(error.contains(expect), "{source}\n{error}");
        assert!(error.starts_with("the expression `"), "{error}");
    }
}

#[test]
fn sources_that_are_no_expression_are_refused_with_their_position() {
    let deep = format!("{}1{}", "(".repeat(25), ")".repeat(25));
    let long = format!("{}true", "true && ".repeat(250));
    let conditionals = format!("{}true", "true ? true : ".repeat(25));
    for (source, position, expect) in [
        ("", (1, 1), "mismatched input"),
        ("row.ticket ==", (1, 14), "mismatched input"),
        ("true &&\n  row.x = 1", (2, 9), "token recognition error"),
        (
            "ticket.contains('a')",
            (1, 1),
            "unknown name `ticket`; the row's fields are written row.ticket",
        ),
        ("true && row.x.foo()", (1, 15), "unknown function `foo`; there are size, contains"),
        ("row.x.contains()", (1, 7), "`contains` is written text.contains(part)"),
        ("size()", (1, 1), "`size` is written size(x) or x.size()"),
        ("row.x.matches('(')", (1, 7), "no regular expression: error: unclosed group"),
        ("row.x.matches('a{9999}{9999}')", (1, 7), "no regular expression"),
        ("[1].all(x, y > 0)", (1, 12), "unknown name `y`"),
        ("[1].all(x, true) && x", (1, 9), "unknown name `x`"),
        ("b'x' == b'x'", (1, 1), "bytes: rows have texts"),
        ("Message{a: 1} == null", (1, 8), "messages are not available"),
        ("has(row)", (1, 5), "invalid argument to has() macro"),
        ("[1].all(1, true)", (1, 9), "argument must be a simple name"),
        ("row.x == 'a", (1, 10), "a string without its closing quotation mark"),
        ("row.x == 'a\nb'", (1, 10), "closing quotation mark on this line"),
        (r"row.x == '\d'", (1, 11), "an escape that CEL does not have"),
        ("(row.x", (1, 7), "ends where `)` is missing"),
        ("(row.x]", (1, 7), "`]` without its opening bracket"),
        (&deep, (1, 25), "more than 24 brackets within brackets"),
        (&long, (1, 166 * 8 + 7), "more than 500 words and signs"),
        (&conditionals, (1, 24 * 14 + 6), "more than 24 conditionals"),
        (&"a".repeat(5_000), (1, 4_097), "5000 bytes; at most 4096"),
    ] {
        let error = Expression::compile(source).expect_err(source);
        assert!(error.message.contains(expect), "{source}\n{error}");
        assert_eq!((error.line, error.column), position, "{source}\n{error}");
    }
}

/// Runs on a stack of 1 MiB: half of what a thread has by default.
fn on_a_small_stack(test: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(1 << 20).spawn(test).unwrap();
    thread.join().unwrap();
}

#[test]
fn the_deepest_sources_that_are_let_through_fit_a_small_stack() {
    on_a_small_stack(|| {
        for (unit, times, end) in [
            ("+", 500, ""),
            ("!", 499, "true"),
            ("-", 499, "1"),
            (".a", 249, ""),
            ("1+", 249, "1"),
            ("1<", 249, "1"),
            ("true&&", 166, "true"),
            ("true?", 24, ""),
            ("true?1:", 24, "1"),
            ("'", 2, "'"),
            (",", 500, ""),
            ("in ", 500, ""),
        ] {
            let prefix = if unit == ".a" { "row" } else { "" };
            let source = format!("{prefix}{}{end}", unit.repeat(times));
            if let Ok(expression) = Expression::compile(&source) {
                let _ = expression.evaluate(&row());
            }
        }
        for (open, close) in
            [("(", ")"), ("[", "]"), ("{1:", "}"), ("[1].map(x,", ")"), ("size(", ")")]
        {
            let source = format!("{}1{}", open.repeat(24), close.repeat(24));
            let expression =
                Expression::compile(&source).unwrap_or_else(|e| panic!("{source}: {e}"));
            expression.evaluate(&row()).expect_err("no boolean");
        }
    });
}

#[test]
fn an_expression_that_would_run_for_ever_or_fill_the_memory_is_stopped() {
    let mut large = row();
    large.insert("list".to_owned(), (0..10_000).collect::<Vec<u32>>().into());
    large.insert("text".to_owned(), "x".repeat(1_000_000).into());
    for source in [
        // 10^12 steps.
        "row.list.all(a, row.list.all(b, row.list.all(c, true)))".to_owned(),
        "row.list.exists(a, row.list.exists(b, row.list.exists(c, false)))".to_owned(),
        // 2^60 bytes.
        format!(
            "['xxxxxxxx']{}.size() == 1",
            ".map(x, x + x)".repeat(57).get(..14 * 30).unwrap_or_default()
        ),
        "row.text.matches('(x+x+)+(x+x+)+y')".to_owned(),
        "row.list.exists(n, row.text.contains('xy'))".to_owned(),
        "row.list.exists(n, row == {})".to_owned(),
    ] {
        let expression = Expression::compile(&source).unwrap_or_else(|e| panic!("{source}: {e}"));
        let error = expression.evaluate(&large).expect_err(&source);
        assert!(error.message.contains("too many steps"), "{source}\n{error}");
    }
}

#[test]
fn loops_over_thousands_of_elements_are_within_the_budget() {
    let mut large = row();
    large.insert("list".to_owned(), (0..2_000).collect::<Vec<u32>>().into());
    let source = "row.list.filter(n, n % 2 == 0).map(n, n * 2).size() == 1000";
    assert_eq!(Expression::compile(source).unwrap().evaluate(&large), Ok(true));
}
