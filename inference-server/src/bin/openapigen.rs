//! Writes `openapi.json` again from the types.

use std::path::Path;

fn main() -> std::io::Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi.json");
    std::fs::write(path, textnlp_inference_server::openapi())
}
