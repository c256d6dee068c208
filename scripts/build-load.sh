# Sourced: builds the server and the load generator, and sets $target, $textnlp and $load.
target=${CARGO_TARGET_DIR:-target}
${CARGO:-cargo} build --release --package textnlp --package textnlp-tests --bin textnlp --bin load
textnlp=$target/release/textnlp
load=$target/release/load
