//! The size of zlib's output at level 6, to the byte (zlib 1.2 and 1.3, `deflate.c` and `trees.c`): only what decides the size is
//! computed. Other compressors are as good, but a ratio that is to be the same everywhere needs one that is written down.

mod trees;

use trees::Block;

// Level 6: `configuration_table[6]` is {8, 16, 128, 128, deflate_slow}.
const GOOD_LENGTH: usize = 8;
const MAX_LAZY: usize = 16;
const NICE_LENGTH: usize = 128;
const MAX_CHAIN: usize = 128;

const MIN_MATCH: usize = 3;
const MAX_MATCH: usize = 258;
const WINDOW: usize = 32_768;
const MIN_LOOKAHEAD: usize = MAX_MATCH + MIN_MATCH + 1;
const MAX_DISTANCE: usize = WINDOW - MIN_LOOKAHEAD;
/// A match of three bytes that is farther away costs more than it saves.
const TOO_FAR: usize = 4_096;
const HASH_SIZE: usize = 32_768;
/// Symbols in a block: `lit_bufsize` − 1 with memory level 8.
const BLOCK_SYMBOLS: usize = 16_383;

/// The header and trailer of gzip without a file name.
const GZIP_FRAME: u64 = 18;

/// How many bytes Python's `gzip.compress(data, 6)` returns.
pub(crate) fn gzip_size(data: &[u8]) -> u64 {
    GZIP_FRAME + deflate_bits(data).div_ceil(8)
}

fn deflate_bits(data: &[u8]) -> u64 {
    let mut matcher = Matcher::new(data);
    let mut block = Block::default();
    let (mut bits, mut block_start) = (0, 0);
    let (mut at, mut length, mut start) = (0, MIN_MATCH - 1, 0);
    let mut available = false;
    while at < data.len() {
        let head = matcher.insert(at);
        let (previous_length, previous_start) = (length, start);
        length = MIN_MATCH - 1;
        if let Some(head) =
            head.filter(|head| previous_length < MAX_LAZY && at - head <= MAX_DISTANCE)
        {
            (length, start) = matcher.longest(at, head, previous_length, previous_start);
            if length == MIN_MATCH && at - start > TOO_FAR {
                length = MIN_MATCH - 1;
            }
        }
        let mut full = false;
        if previous_length >= MIN_MATCH && length <= previous_length {
            // The match at the byte before is the better one.
            full = block.add_match(at - 1 - previous_start, previous_length);
            let end = at - 1 + previous_length;
            (at + 1..end).for_each(|place| {
                matcher.insert(place);
            });
            (at, available, length) = (end, false, MIN_MATCH - 1);
        } else {
            if available {
                full = data.get(at - 1).is_some_and(|byte| block.add_literal(*byte));
            }
            (at, available) = (at + 1, true);
        }
        if full {
            // A literal that waits belongs to the next block.
            let end = if available { at - 1 } else { at };
            bits = std::mem::take(&mut block).finish(end - block_start, bits);
            block_start = end;
        }
    }
    if available && let Some(byte) = data.last() {
        block.add_literal(*byte);
    }
    block.finish(data.len() - block_start, bits)
}

/// The places of three bytes that hash alike, newest first.
struct Matcher<'d> {
    data: &'d [u8],
    head: Vec<usize>,
    previous: Vec<usize>,
}

impl<'d> Matcher<'d> {
    fn new(data: &'d [u8]) -> Self {
        Self { data, head: vec![0; HASH_SIZE], previous: vec![0; WINDOW] }
    }

    /// Notes the three bytes at `at`, and says where their hash was last. Place 0 stands for none, as in zlib.
    fn insert(&mut self, at: usize) -> Option<usize> {
        let &[a, b, c] = self.data.get(at..at + MIN_MATCH)? else { return None };
        let hash = (usize::from(a) << 10 ^ usize::from(b) << 5 ^ usize::from(c)) % HASH_SIZE;
        let head = std::mem::replace(&mut self.head[hash], at);
        self.previous[at % WINDOW] = head;
        (head != 0).then_some(head)
    }

    /// The longest match that is longer than `best`, or `best` and `start`.
    fn longest(&self, at: usize, head: usize, mut best: usize, mut start: usize) -> (usize, usize) {
        let ahead = &self.data[at..];
        let most = ahead.len().min(MAX_MATCH);
        let nice = NICE_LENGTH.min(ahead.len());
        let mut chain = if best >= GOOD_LENGTH { MAX_CHAIN >> 2 } else { MAX_CHAIN };
        let limit = at.saturating_sub(MAX_DISTANCE);
        let mut candidate = head;
        loop {
            // Only a candidate that agrees in its byte `best` can be longer.
            if ahead.get(best).is_some_and(|byte| self.data.get(candidate + best) == Some(byte)) {
                let pairs = self.data[candidate..].iter().zip(ahead).take(most);
                let length = pairs.take_while(|(a, b)| a == b).count();
                if length > best {
                    (best, start) = (length, candidate);
                    if length >= nice {
                        break;
                    }
                }
            }
            candidate = self.previous[candidate % WINDOW];
            chain -= 1;
            if candidate <= limit || chain == 0 {
                break;
            }
        }
        (best.min(ahead.len()), start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_texts_have_pythons_sizes() {
        // len(gzip.compress(data, 6))
        for (data, size) in [("", 20), ("a", 21), ("aaaaaaaaaa", 23), ("abcabcabcabc", 25)] {
            assert_eq!(gzip_size(data.as_bytes()), size, "{data:?}");
        }
    }
}
