//! Where digests and packed weights are kept from one start to the next.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use textnlp_engine::engine::ModelCache;

use crate::args::CacheArgs;

/// Names the folder; empty, there is none.
const VARIABLE: &str = "TEXTNLP_CACHE";

/// The cache that a user wants: the flag's, the variable's, or `textnlp` in the user's cache directory, if that can be had.
pub(crate) fn of(args: &CacheArgs) -> Option<ModelCache> {
    let variable = |name: &str| std::env::var_os(name);
    match chosen(args, &variable)? {
        Chosen::Named(folder) => Some(ModelCache::at(folder)),
        // Nobody asked for one, so where it cannot be (the read-only root of a pod) there is none, without a warning.
        Chosen::Usual(folder) => {
            let made = std::fs::create_dir_all(&folder);
            made.is_ok().then(|| ModelCache::at(folder))
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Chosen {
    Named(PathBuf),
    Usual(PathBuf),
}

fn chosen(args: &CacheArgs, variable: &dyn Fn(&str) -> Option<OsString>) -> Option<Chosen> {
    if args.no_cache {
        return None;
    }
    let named = args.cache.clone().or_else(|| variable(VARIABLE).map(PathBuf::from));
    if let Some(named) = named {
        return (!named.as_os_str().is_empty()).then_some(Chosen::Named(named));
    }
    let absolute = |name: &str| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || absolute("HOME").map(|home| home.join(".cache"));
    let folder = absolute("XDG_CACHE_HOME").or_else(home)?;
    Some(Chosen::Usual(folder.join(Path::new("textnlp"))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flag_beats_the_variable_and_that_the_users_folder() {
        let check = |flag: Option<&str>, no_cache: bool, set: &[(&str, &str)], expect| {
            let args = CacheArgs { cache: flag.map(PathBuf::from), no_cache };
            let variable = |name: &str| {
                set.iter().find(|(set, _)| *set == name).map(|(_, value)| OsString::from(value))
            };
            assert_eq!(chosen(&args, &variable), expect);
        };
        let named = |path: &str| Some(Chosen::Named(path.into()));
        let usual = |path: &str| Some(Chosen::Usual(path.into()));
        let home = ("HOME", "/home/ann");
        check(Some("a"), false, &[("TEXTNLP_CACHE", "b"), home], named("a"));
        check(None, false, &[("TEXTNLP_CACHE", "b"), home], named("b"));
        check(None, false, &[("TEXTNLP_CACHE", ""), home], None);
        check(Some("a"), true, &[("TEXTNLP_CACHE", "b"), home], None);
        check(None, false, &[home], usual("/home/ann/.cache/textnlp"));
        check(None, false, &[("XDG_CACHE_HOME", "/c"), home], usual("/c/textnlp"));
        check(
            None,
            false,
            &[("XDG_CACHE_HOME", "relative"), home],
            usual("/home/ann/.cache/textnlp"),
        );
        check(None, false, &[], None);
    }
}
