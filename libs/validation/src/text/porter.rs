//! The Porter stemmer with NLTK's extensions (`nltk.stem.porter.PorterStemmer`, nltk 3.10.4), which rouge_score uses.

/// The stem of `word`, which consists of `a`–`z` and `0`–`9`.
pub(crate) fn stem(word: &str) -> String {
    if let Some((_, stem)) = IRREGULAR.iter().find(|(form, _)| *form == word) {
        return (*stem).to_owned();
    }
    if word.len() <= 2 {
        return word.to_owned();
    }
    let mut word = word.to_owned();
    step_1a(&mut word);
    step_1b(&mut word);
    step_1c(&mut word);
    step_2(&mut word);
    apply(&mut word, STEP_3, |stem| measure(stem) > 0);
    step_4(&mut word);
    step_5(&mut word);
    word
}

const IRREGULAR: &[(&str, &str)] = &[
    ("sky", "sky"),
    ("skies", "sky"),
    ("dying", "die"),
    ("lying", "lie"),
    ("tying", "tie"),
    ("news", "news"),
    ("innings", "inning"),
    ("inning", "inning"),
    ("outings", "outing"),
    ("outing", "outing"),
    ("cannings", "canning"),
    ("canning", "canning"),
    ("howe", "howe"),
    ("proceed", "proceed"),
    ("exceed", "exceed"),
    ("succeed", "succeed"),
];

/// Suffix and its replacement; the first suffix that the word ends with decides.
type Rules = &'static [(&'static str, &'static str)];

const STEP_2: Rules = &[
    ("ational", "ate"),
    ("tional", "tion"),
    ("enci", "ence"),
    ("anci", "ance"),
    ("izer", "ize"),
    ("bli", "ble"),
    ("alli", "al"),
    ("entli", "ent"),
    ("eli", "e"),
    ("ousli", "ous"),
    ("ization", "ize"),
    ("ation", "ate"),
    ("ator", "ate"),
    ("alism", "al"),
    ("iveness", "ive"),
    ("fulness", "ful"),
    ("ousness", "ous"),
    ("aliti", "al"),
    ("iviti", "ive"),
    ("biliti", "ble"),
    ("fulli", "ful"),
];

const STEP_3: Rules = &[
    ("icate", "ic"),
    ("ative", ""),
    ("alize", "al"),
    ("iciti", "ic"),
    ("ical", "ic"),
    ("ful", ""),
    ("ness", ""),
];

/// In NLTK's order; `ion` has its own condition.
const STEP_4: &[&str] = &[
    "al", "ance", "ence", "er", "ic", "able", "ible", "ant", "ement", "ment", "ent", "ion", "ou",
    "ism", "ate", "iti", "ous", "ive", "ize",
];

fn step_1a(word: &mut String) {
    if word.len() == 4 && word.ends_with("ies") {
        word.pop(); // NLTK: dies → die, but flies → fli
        return;
    }
    apply(word, &[("sses", "ss"), ("ies", "i"), ("ss", "ss"), ("s", "")], |_| true);
}

fn step_1b(word: &mut String) {
    if word.ends_with("ied") {
        let kept = if word.len() == 4 { 1 } else { 2 }; // NLTK: died → die, but spied → spi
        word.truncate(word.len() - kept);
        return;
    }
    if let Some(stem) = word.strip_suffix("eed") {
        if measure(stem) > 0 {
            word.pop();
        }
        return;
    }
    let has_vowel = |stem: &&str| consonants(stem).any(|consonant| !consonant);
    let stem = word.strip_suffix("ed").filter(has_vowel);
    let Some(stem) = stem.or_else(|| word.strip_suffix("ing").filter(has_vowel)) else { return };
    word.truncate(stem.len());
    if word.ends_with("at") || word.ends_with("bl") || word.ends_with("iz") {
        word.push('e');
    } else if ends_with_double_consonant(word) {
        if !word.ends_with(['l', 's', 'z']) {
            word.pop();
        }
    } else if measure(word) == 1 && ends_with_cvc(word) {
        word.push('e');
    }
}

/// NLTK: y → i after a consonant that is not the only letter before it.
fn step_1c(word: &mut String) {
    if let Some(stem) = word.strip_suffix('y')
        && stem.len() > 1
        && consonants(stem).last() == Some(true)
    {
        word.pop();
        word.push('i');
    }
}

fn step_2(word: &mut String) {
    // NLTK: alli → al goes first, and what it leaves through the rules again.
    if word.strip_suffix("alli").is_some_and(|stem| measure(stem) > 0) {
        word.truncate(word.len() - 2);
    }
    if STEP_2.iter().all(|(suffix, _)| !word.ends_with(suffix)) {
        // NLTK counts the l of logi as a part of the stem.
        if word.strip_suffix("ogi").is_some_and(|stem| stem.ends_with('l') && measure(stem) > 0) {
            word.pop();
        }
        return;
    }
    apply(word, STEP_2, |stem| measure(stem) > 0);
}

fn step_4(word: &mut String) {
    let Some(suffix) = STEP_4.iter().find(|suffix| word.ends_with(**suffix)) else { return };
    let stem = &word[..word.len() - suffix.len()];
    if measure(stem) > 1 && (*suffix != "ion" || stem.ends_with(['s', 't'])) {
        word.truncate(stem.len());
    }
}

fn step_5(word: &mut String) {
    if let Some(stem) = word.strip_suffix('e')
        && (measure(stem) > 1 || measure(stem) == 1 && !ends_with_cvc(stem))
    {
        word.pop();
    }
    if word.ends_with("ll") && measure(&word[..word.len() - 1]) > 1 {
        word.pop();
    }
}

/// Replaces the first suffix of `rules` that the word ends with, if its stem fulfils the condition.
fn apply(word: &mut String, rules: Rules, condition: impl Fn(&str) -> bool) {
    if let Some((suffix, replacement)) = rules.iter().find(|(suffix, _)| word.ends_with(suffix)) {
        let stem = word.len() - suffix.len();
        if condition(&word[..stem]) {
            word.truncate(stem);
            word.push_str(replacement);
        }
    }
}

/// For each letter whether it is a consonant: not a vowel, and no y after a consonant.
fn consonants(word: &str) -> impl Iterator<Item = bool> {
    let mut before = false;
    word.bytes().map(move |letter| {
        before = match letter {
            b'a' | b'e' | b'i' | b'o' | b'u' => false,
            b'y' => !before,
            _ => true,
        };
        before
    })
}

/// Porter's m: how many times a consonant follows a vowel.
fn measure(stem: &str) -> usize {
    let mut vowel = false;
    let mut m = 0;
    for consonant in consonants(stem) {
        m += usize::from(vowel && consonant);
        vowel = !consonant;
    }
    m
}

fn ends_with_double_consonant(word: &str) -> bool {
    let mut letters = word.bytes().rev();
    let (last, before) = (letters.next(), letters.next());
    last.is_some() && last == before && consonants(word).last() == Some(true)
}

/// Porter's *o: consonant, vowel, consonant other than w, x and y at the end; NLTK adds the words vowel, consonant.
fn ends_with_cvc(word: &str) -> bool {
    let flags: Vec<bool> = consonants(word).collect();
    match flags.as_slice() {
        [false, true] => true,
        [.., true, false, true] => !word.ends_with(['w', 'x', 'y']),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // NLTK's own results; `tests/goldens.rs` has thousands more.
    #[test]
    fn words_are_stemmed_as_nltk_does() {
        for (word, expect) in [
            ("caresses", "caress"),
            ("flies", "fli"),
            ("dies", "die"),
            ("died", "die"),
            ("spied", "spi"),
            ("agreed", "agre"),
            ("feed", "feed"),
            ("plastered", "plaster"),
            ("sing", "sing"),
            ("hopping", "hop"),
            ("falling", "fall"),
            ("filing", "file"),
            ("enjoy", "enjoy"),
            ("happy", "happi"),
            ("relational", "relat"),
            ("generally", "gener"),
            ("geology", "geolog"),
            ("theology", "theolog"),
            ("adoption", "adopt"),
            ("controll", "control"),
            ("skies", "sky"),
            ("1990s", "1990"),
            ("yyyyy", "yyyyy"),
        ] {
            assert_eq!(stem(word), expect, "{word}");
        }
    }
}
