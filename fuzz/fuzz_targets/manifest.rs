#![no_main]
//! A manifest of any bytes: parsed, admitted by schema and rules, resolved.

use libfuzzer_sys::fuzz_target;
use textnlp_crds::manifest::{Given, Manifest};

fuzz_target!(|bytes: &[u8]| {
    match Manifest::read([("fuzz.yaml", bytes)], &[]) {
        Ok(manifest) => drop(manifest.resolve(Given::default()).map(|_| ())),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
