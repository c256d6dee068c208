//! Templates: what they can do, what they are refused, and that nothing in them or in a record gets out of the sandbox.

use serde_json::json;
use textnlp_dataset::Record;
use textnlp_dataset::template::{Template, TemplateError, Templates};

fn compile(source: &str) -> Result<Template, TemplateError> {
    Templates::default().compile("spec.columns[0].prompt", source)
}

fn record(value: serde_json::Value) -> Record {
    serde_json::from_value(value).unwrap()
}

/// Renders over a small row; errors of both stages as text.
fn render(source: &str) -> Result<String, String> {
    let fields = record(
        json!({"product": "kettle", "price": 12.5, "tags": ["a", "b"], "size": {"cm": 20}, "none": null}),
    );
    let template = compile(source).map_err(|error| error.to_string())?;
    template.render(&[&fields]).map_err(|error| error.to_string())
}

fn check(source: &str, expect: Result<&str, &str>) {
    match (render(source), expect) {
        (Ok(found), Ok(expect)) => assert_eq!(found, expect, "{source}"),
        (Err(found), Err(expect)) => {
            assert!(found.contains(expect), "{source}\nfound:  {found}\nexpect: {expect}")
        }
        (found, _) => panic!("{source:.200}\nfound: {found:.200?}\nexpect: {expect:?}"),
    }
}

#[test]
fn templates_render_values_filters_and_python_methods() {
    check("{{ product }} costs {{ price }}", Ok("kettle costs 12.5"));
    check("{{ product | upper }} {{ product.upper() }} {{ ' x '.strip() }}", Ok("KETTLE KETTLE x"));
    check(
        "{% for tag in tags %}{{ tag }}{% if not loop.last %}, {% endif %}{% endfor %}",
        Ok("a, b"),
    );
    check("{{ size.cm }} {{ tags | join('+') }} {{ size | tojson }}", Ok("20 a+b {\"cm\": 20}"));
    check(
        "{% set ns = namespace(n=0) %}{% for t in tags %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}",
        Ok("2"),
    );
    check("<b>{{ '<&>' }}</b>", Ok("<b><&></b>"));
}

#[test]
fn a_template_that_does_not_compile_is_refused_with_line_and_column() {
    check("Hello\n  {{ product", Err("spec.columns[0].prompt:2:"));
    check("{% if product %}", Err("spec.columns[0].prompt:1:"));
    check("ok\n{{ product | nosuch }}", Err("spec.columns[0].prompt"));
    check("{% include 'secrets' %}", Err("`include` is not available"));
    check("{%- import 'a' as b %}", Err("`import` is not available"));
    check("{% extends 'a' %}", Err("`extends` is not available"));
}

#[test]
fn an_undefined_value_is_an_error_of_the_row_and_never_an_empty_text() {
    check("{{ prodct }}", Err("undefined value"));
    check("{{ size.weight }}", Err("undefined value"));
}

#[test]
fn template_syntax_in_user_data_stays_text() {
    let template = compile("{{ product }}").unwrap();
    for text in ["{{ 7 * 7 }}", "{% for x in range(9) %}", "{# gone #}", "<|im_end|>", "${HOME}"] {
        assert_eq!(template.render(&[&record(json!({"product": text}))]).unwrap(), text);
    }
}

#[test]
fn what_takes_too_long_or_too_much_is_an_error() {
    check("{{ range(1000000000) }}", Err("range"));
    check("{{ range(1e9) }}", Err(""));
    check(
        "{% for i in range(100000) %}{% for j in range(100000) %}x{% endfor %}{% endfor %}",
        Err("fuel"),
    );
    check("{{ 'x' * 99999999 }}", Err("fuel"));
    check("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", Err("recursion"));
    let doubling = "{% set s = s ~ s %}".repeat(60);
    check(&format!("{{% set s = 'abcdefgh' %}}{doubling}{{{{ s | length }}}}"), Err("fuel"));
    let long = "y".repeat(1 << 19);
    check(&format!("{long}{long}{long}"), Err("bytes"));
    check(
        "{% for i in range(60000) %}xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx{% endfor %}",
        Err("rendered to"),
    );
}

/// The compiler works by recursion: what is nested or chained must end in an error long before the stack does. Threads
/// of the generation have 2 MiB.
#[test]
fn nested_and_chained_templates_never_overflow_the_stack() {
    // As deep as one tag may be, and deeper.
    let chains = [500, 900, 50_000].map(|n| {
        [
            format!("{{{{ {} }}}}", "(".repeat(n)),
            format!("{{{{ {} }}}}", "[".repeat(n)),
            format!("{{{{ {} 1 }}}}", "not ".repeat(n)),
            format!("{{{{ {} 1 }}}}", "-".repeat(n)),
            format!("{{{{ 1{} }}}}", "+1".repeat(n)),
            format!("{{{{ 1{} }}}}", "**1".repeat(n / 2)),
            format!("{{{{ 1{} }}}}", " and 1".repeat(n)),
            format!("{{{{ 1{} }}}}", " is 1".repeat(n)),
            format!("{{{{ 1{} }}}}", "<1".repeat(n)),
            format!("{{{{ product{} }}}}", ".a".repeat(n)),
            format!("{{{{ product{} }}}}", "|e".repeat(n)),
            format!("{{{{ product{} }}}}", "()".repeat(n / 2)),
            format!("{{{{ product{} }}}}", "[0]".repeat(n / 2)),
            format!("{{{{ 1{} }}}}", " if 1 else 1".repeat(n / 2)),
            format!("{{% set x = {} %}}", "{1:".repeat(n)),
        ]
    });
    let blocks = [
        "{% if product %}".repeat(12_000),
        format!("{{% if 1 %}}{}{{% endif %}}", "{% elif 1 %}".repeat(20_000)),
        format!("{{% if 1 %}}{}{{% endif %}}", "{% elif 1 %}".repeat(500)),
        "{% for x in tags %}".repeat(12_000),
        "{% filter upper %}".repeat(12_000),
        "{% macro f() %}".repeat(12_000),
    ];
    let sources = chains.into_iter().flatten().chain(blocks);
    for source in sources {
        // An overflow would abort the whole test process.
        let thread = std::thread::Builder::new().stack_size(1 << 20);
        let _ = thread.spawn(move || render(&source)).unwrap().join().unwrap();
    }
    check(&"{% if product %}".repeat(14_000), Err("recursion"));
    check(&"{% if product %}".repeat(50_000), Err("bytes; 262144 are allowed"));
}

#[test]
fn the_names_that_a_template_needs_are_known() {
    let names =
        |source: &str| compile(source).unwrap().variables().iter().cloned().collect::<Vec<_>>();
    assert_eq!(names("{{ a }} {{ b.c }} {% if d %}{{ e }}{% endif %}"), ["a", "b", "d", "e"]);
    assert_eq!(names("{% for x in xs %}{{ x }}{{ loop.index }}{% endfor %}"), ["xs"]);
    assert_eq!(
        names("{% set y = a %}{{ y }}{% macro m(p) %}{{ p }}{{ q }}{% endmacro %}"),
        ["a", "q"]
    );
    assert_eq!(names("{# {{ a }} #}{% raw %}{{ b }}{% endraw %}"), [""; 0]);
    assert_eq!(names("{% for x in x %}{{ x }}{% endfor %}"), ["x"]);
}

#[test]
fn an_unknown_name_is_refused_with_its_place_and_those_that_there_are() {
    let template = compile("Hello\n{{ range(3) | join }} {{ prodct }}").unwrap();
    let message = template.check(["product", "tone"]).unwrap_err().to_string();
    assert_eq!(
        message,
        "spec.columns[0].prompt:2:26: there is no `prodct`; there are product, tone"
    );
    let message = compile("{{ x }}").unwrap().check([]).unwrap_err().to_string();
    assert!(message.contains("no names at all"), "{message}");
    assert_eq!(compile("{{ product }}").unwrap().check(["product"]), Ok(()));
}

#[test]
fn a_template_cannot_hide_a_name_of_the_row() {
    for source in [
        "{% set product = product | upper %}",
        "{% with product = 1 %}{% endwith %}",
        "{% set product %}x{% endset %}",
    ] {
        let message = compile(source).unwrap().check(["product"]).unwrap_err().to_string();
        assert!(message.contains("hides the `product` of the row"), "{message}");
    }
}
