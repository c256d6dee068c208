//! The known word closest to one that was mistyped. No I/O.

/// The longest word that is compared: the table of distances stays small on any input.
const MAX_CHARS: usize = 64;

/// The word of `known` that a writer of `word` most likely meant: at most a third of its characters
/// inserted, deleted, replaced or swapped; case does not count.
pub(crate) fn closest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word: Vec<char> = word.to_lowercase().chars().collect();
    if word.len() > MAX_CHARS {
        return None;
    }
    let limit = (word.len() / 3).max(1);
    known
        .into_iter()
        .map(|candidate| {
            let letters: Vec<char> = candidate.to_lowercase().chars().collect();
            (distance(&word, &letters), candidate)
        })
        .filter(|(distance, candidate)| *distance <= limit && *distance < candidate.len())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Optimal string alignment distance.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = above[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replaced.min(above[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before[j - 2] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::closest;

    #[test]
    fn a_mistyped_word_finds_its_neighbour_and_a_strange_one_finds_none() {
        let known = ["maxTokens", "minP", "seed", "stop", "temperature", "topK", "topP"];
        for (word, expect) in [
            ("maxTokenz", Some("maxTokens")),
            ("max_tokens", Some("maxTokens")),
            ("maxtokens", Some("maxTokens")),
            ("tempreature", Some("temperature")),
            ("sede", Some("seed")),
            ("banana", None),
            ("", None),
            ("x", None),
        ] {
            assert_eq!(closest(word, known), expect, "{word}");
        }
    }
}
