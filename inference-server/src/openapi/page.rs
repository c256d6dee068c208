//! The document as a page: no script, nothing from elsewhere.

use std::fmt::Write;

use serde_json::{Map, Value};

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222;background:#fff}\
h1{font-size:1.6rem}h2{margin-top:2.5rem;border-bottom:1px solid #ccc}h3{margin-bottom:.2rem}\
code{font:14px ui-monospace,monospace}.m{display:inline-block;min-width:3.2rem;font-weight:700}\
table{border-collapse:collapse;width:100%;margin:.5rem 0 1rem}th,td{text-align:left;vertical-align:top;padding:.25rem .6rem;border-bottom:1px solid #ddd}\
td:first-child{white-space:nowrap}a{color:#0645ad}@media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}a{color:#8ab4f8}th,td,h2{border-color:#444}}";

/// The page of a document.
pub(crate) fn page(document: &Value) -> String {
    let info = &document["info"];
    let title = escape(text(&info["title"]));
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>{title}</title><style>{STYLE}</style></head><body>\n<h1>{title} {}</h1>\n<p>{} The same for programs: <a href=\"openapi.json\">openapi.json</a>.</p>\n",
        escape(text(&info["version"])),
        prose(text(&info["description"])),
    );
    for tag in document["tags"].as_array().into_iter().flatten() {
        let name = text(&tag["name"]);
        let about = prose(text(&tag["description"]));
        let _ = writeln!(page, "<h2>{}</h2>\n<p>{about}</p>", escape(name));
        for (path, methods) in fields(&document["paths"]) {
            for (method, operation) in fields(methods) {
                if operation["tags"][0] == name {
                    self::operation(&mut page, path, method, operation);
                }
            }
        }
    }
    page.push_str("<h2>Types</h2>\n");
    for (name, schema) in fields(&document["components"]["schemas"]) {
        component(&mut page, name, schema);
    }
    page.push_str("</body></html>\n");
    page
}

fn operation(page: &mut String, path: &str, method: &str, operation: &Value) {
    let (method, path) = (method.to_uppercase(), escape(path));
    let _ = writeln!(
        page,
        "<h3><code><span class=\"m\">{method}</span> {path}</code></h3>\n<p>{}. {}</p>",
        prose(text(&operation["summary"])),
        prose(text(&operation["description"])),
    );
    let body = &operation["requestBody"]["content"]["application/json"]["schema"];
    if !body.is_null() {
        let _ = writeln!(page, "<p>Body: {}</p>", kind(body));
    }
    page.push_str("<table><tr><th>Status<th>Meaning<th>Body</tr>\n");
    let mut responses: Vec<_> = fields(&operation["responses"]).collect();
    responses.sort_by_key(|(status, _)| status.as_str());
    for (status, response) in responses {
        let bodies: Vec<String> = fields(&response["content"])
            .map(|(media, content)| format!("{}: {}", escape(media), kind(&content["schema"])))
            .collect();
        let meaning = prose(text(&response["description"]));
        let _ = writeln!(
            page,
            "<tr><td>{}<td>{meaning}<td>{}</tr>",
            escape(status),
            bodies.join("<br>")
        );
    }
    page.push_str("</table>\n");
}

fn component(page: &mut String, name: &str, schema: &Value) {
    let (id, about) = (escape(name), prose(text(&schema["description"])));
    let _ = writeln!(page, "<h3 id=\"{id}\">{id}</h3>\n<p>{about}</p>");
    if schema["properties"].is_null() {
        let _ = writeln!(page, "<p>{}</p>", kind(schema));
        return;
    }
    let required: Vec<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    page.push_str("<table><tr><th>Field<th>Type<th></tr>\n");
    for (field, schema) in fields(&schema["properties"]) {
        let needed = if required.contains(&field.as_str()) { " (required)" } else { "" };
        let _ = writeln!(
            page,
            "<tr><td><code>{}</code>{needed}<td>{}<td>{}</tr>",
            escape(field),
            kind(schema),
            prose(text(&schema["description"])),
        );
    }
    page.push_str("</table>\n");
}

/// A type in a few words, with links to the named ones.
fn kind(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
        let name = escape(name);
        return format!("<a href=\"#{name}\">{name}</a>");
    }
    for (word, glue) in [("anyOf", " or "), ("oneOf", " or "), ("allOf", " and ")] {
        if let Some(parts) = schema[word].as_array() {
            return parts.iter().map(kind).collect::<Vec<_>>().join(glue);
        }
    }
    if !schema["const"].is_null() {
        return format!("<code>{}</code>", escape(&schema["const"].to_string()));
    }
    if let Some(values) = schema["enum"].as_array() {
        let values =
            values.iter().map(|value| format!("<code>{}</code>", escape(&value.to_string())));
        return values.collect::<Vec<_>>().join(", ");
    }
    let bounds = bounds(schema);
    match &schema["type"] {
        Value::String(name) if name == "array" => {
            format!("list of {}{bounds}", kind(&schema["items"]))
        }
        Value::String(name) if name == "object" && !schema["properties"].is_null() => {
            let names: Vec<String> = fields(&schema["properties"])
                .map(|(name, schema)| format!("<code>{}</code>: {}", escape(name), kind(schema)))
                .collect();
            format!("object {{{}}}", names.join(", "))
        }
        Value::String(name) => format!("{}{bounds}", escape(name)),
        Value::Array(names) => {
            let names = names.iter().filter_map(Value::as_str).filter(|name| *name != "null");
            format!("{}{bounds}", escape(&names.collect::<Vec<_>>().join(" or ")))
        }
        _ => "anything".to_owned(),
    }
}

fn bounds(schema: &Value) -> String {
    let bound = |low: &str, high: &str, what: &str| match (&schema[low], &schema[high]) {
        (Value::Null, Value::Null) => String::new(),
        (low, Value::Null) => format!(", {low} or more{what}"),
        (Value::Null, high) => format!(", at most {high}{what}"),
        (low, high) => format!(", {low} to {high}{what}"),
    };
    bound("minimum", "maximum", "")
        + &bound("minLength", "maxLength", " characters")
        + &bound("minItems", "maxItems", " entries")
}

fn fields(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Text with `code` in it.
fn prose(text: &str) -> String {
    let parts = text.split('`').enumerate().map(|(at, part)| match at % 2 {
        0 => escape(part),
        _ => format!("<code>{}</code>", escape(part)),
    });
    parts.collect()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
