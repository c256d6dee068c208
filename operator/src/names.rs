//! Names of children: deterministic, at most 50 characters, valid as DNS-1035 labels (they start with a letter, so that
//! Services may have them). No I/O.
//!
//! A name is `<prefix>-<slug of the owner's name>-<hash of the owner's UID>[-<suffix>]`. The hash keeps apart owners whose names
//! are equal in their first characters, and an owner from its predecessor of the same name. Fifty characters leave room
//! for what Kubernetes appends: `-<index>-<5 characters>` to the pods of an Indexed Job.

use sha2::{Digest, Sha256};

/// Characters of a child's name at most.
pub const LIMIT: usize = 50;

/// Hexadecimal digits of a UID's hash.
const HASH_DIGITS: usize = 8;

/// Prefix of a GenerationJob's children.
pub const JOB_PREFIX: &str = "gj";
/// Prefix of a ModelDeployment's children.
pub const MODEL_PREFIX: &str = "mdl";

/// The name of a child: `prefix` and `suffix` are ours (lower case, short), `owner` and `uid` are the owner's.
pub fn child(prefix: &str, owner: &str, uid: &str, suffix: &str) -> String {
    let hash = short_hash(uid.as_bytes());
    let tail = if suffix.is_empty() { hash } else { format!("{hash}-{suffix}") };
    let room = LIMIT.saturating_sub(prefix.len() + tail.len() + 2);
    let slug = slug(owner, room);
    if slug.is_empty() { format!("{prefix}-{tail}") } else { format!("{prefix}-{slug}-{tail}") }
}

/// The name of a GenerationJob's child.
pub fn job(owner: &str, uid: &str, suffix: &str) -> String {
    child(JOB_PREFIX, owner, uid, suffix)
}

/// The name of a ModelDeployment's Deployment and Service.
pub fn model(owner: &str, uid: &str) -> String {
    child(MODEL_PREFIX, owner, uid, "")
}

/// The name of a ModelDeployment's headless Service, whose addresses are its ready pods.
pub fn model_pods(owner: &str, uid: &str) -> String {
    child(MODEL_PREFIX, owner, uid, "pods")
}

/// The first digits of a SHA-256, for names and for annotations that are compared.
pub fn short_hash(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().take(HASH_DIGITS / 2).map(|byte| format!("{byte:02x}")).collect()
}

/// Lower-case letters, digits and single dashes of a name, at most `room` of them, with a letter or digit at both ends.
fn slug(name: &str, room: usize) -> String {
    let mut slug = String::new();
    for character in name.chars() {
        if slug.len() >= room {
            break;
        }
        if character.is_ascii_alphanumeric() {
            slug.push(character.to_ascii_lowercase());
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    slug.trim_end_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_prefix_slug_hash_and_suffix() {
        assert_eq!(
            job("support-tickets", "uid-1", "prepare-0"),
            "gj-support-tickets-4a49acf8-prepare-0"
        );
        assert_eq!(job("1.dotted.Name", "uid-1", ""), "gj-1-dotted-name-4a49acf8");
        assert_eq!(job("...", "uid-1", "x"), "gj-4a49acf8-x");
    }

    #[test]
    fn long_names_that_begin_alike_differ_and_fit() {
        let long = "a".repeat(253);
        let first = job(&long, "uid-1", "generate-10-100");
        let second = job(&long, "uid-2", "generate-10-100");
        assert_ne!(first, second);
        assert!(first.len() <= LIMIT && second.len() <= LIMIT, "{first}");
    }

    #[test]
    fn every_name_is_a_dns_1035_label() {
        for owner in ["x", "0", "a.b", "-", "ä", &"a-".repeat(100), &"9".repeat(253)] {
            let name = model_pods(owner, "e2a6b1c8-2d1c-4f10-8a39-000000000000");
            assert!(name.len() <= LIMIT, "{name}");
            assert!(name.starts_with(|c: char| c.is_ascii_lowercase()), "{name}");
            assert!(name.ends_with(|c: char| c.is_ascii_alphanumeric()), "{name}");
            assert!(name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'));
        }
    }
}
