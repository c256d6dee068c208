//! `textnlp explain`: the schema's own words.

use crate::failure::Failure;
use crate::print_text;

pub(crate) fn run(field: Option<&str>) -> Result<(), Failure> {
    let text = textnlp_crds::explain::explain(field.unwrap_or("gj")).map_err(Failure::usage)?;
    print_text(&text);
    Ok(())
}
