//! Who called. Pure.

use std::sync::Arc;

/// Characters of a name that are kept: it stands in a line of the log.
const MAX_NAME: usize = 200;

/// Who called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller {
    name: Arc<str>,
    kind: Kind,
}

/// What lets them in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Key,
    Oidc,
    Kubernetes,
}

impl Caller {
    #[cfg(test)]
    pub(crate) fn named(name: &str) -> Self {
        Self::of_key(&name.into())
    }

    /// The caller with a key of that name.
    pub(super) fn of_key(name: &Arc<str>) -> Self {
        Self { name: Arc::clone(name), kind: Kind::Key }
    }

    /// The caller whom an issuer or a cluster calls `subject`.
    pub(super) fn of_token(kind: Kind, subject: &str) -> Self {
        let allowed = |c: char| c.is_alphanumeric() || c.is_ascii_graphic();
        let subject = subject.chars().take(MAX_NAME).map(|c| if allowed(c) { c } else { '_' });
        let name = [kind.as_str(), ":"].into_iter().flat_map(str::chars).chain(subject);
        Self { name: name.collect::<String>().into(), kind }
    }

    /// The key's name, or the kind and the subject of a token: no key has a `:` in its name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Whose limits count.
    pub(super) fn shared_name(&self) -> &Arc<str> {
        &self.name
    }

    /// The name under which calls are counted. There are as many subjects as an issuer likes, so that all of them are counted as one.
    pub(crate) fn label(&self) -> &str {
        match self.kind {
            Kind::Key => &self.name,
            kind => kind.as_str(),
        }
    }
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Oidc => "oidc",
            Self::Kubernetes => "kubernetes",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_one_short_word_in_the_log_and_no_label() {
        let caller = Caller::of_token(Kind::Oidc, "a b\n\u{202e}c");
        assert_eq!((caller.name(), caller.label()), ("oidc:a_b__c", "oidc"));
        let caller = Caller::of_token(Kind::Kubernetes, "system:serviceaccount:shop:worker");
        assert_eq!(caller.name(), "kubernetes:system:serviceaccount:shop:worker");
        let caller = Caller::of_token(Kind::Oidc, &"ü".repeat(10_000));
        assert_eq!(caller.name().chars().count(), "oidc:".len() + MAX_NAME);
        let caller = Caller::of_key(&"team".into());
        assert_eq!((caller.name(), caller.label()), ("team", "team"));
    }
}
