//! Texts to send. What they say does not matter, but that no two are the same by chance. No I/O.

use crate::dice::Dice;

const WORDS: [&str; 64] = [
    "airport", "answer", "ask", "because", "blue", "board", "bridge", "calm", "captain", "city",
    "cloud", "coffee", "delay", "door", "early", "engine", "evening", "family", "far", "flight",
    "friend", "garden", "gate", "glass", "harbour", "heavy", "home", "island", "journey", "kind",
    "lamp", "late", "letter", "light", "line", "long", "luggage", "map", "morning", "mountain",
    "music", "never", "night", "number", "ocean", "often", "old", "paper", "passport", "queue",
    "quiet", "rain", "river", "road", "seat", "silver", "slow", "storm", "street", "ticket",
    "train", "water", "window", "winter",
];

/// So many words at random.
pub(crate) fn words(dice: &mut Dice, count: usize) -> String {
    let words: Vec<&str> = (0..count).map(|_| *dice.pick(&WORDS)).collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_has_as_many_words_as_asked_for() {
        assert_eq!(words(&mut Dice::new(1), 9).split(' ').count(), 9);
        assert_eq!(words(&mut Dice::new(1), 0), "");
    }
}
