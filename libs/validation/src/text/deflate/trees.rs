//! The size of a block: zlib's Huffman trees, with its way of breaking ties, since it decides how the trees themselves are packed.

use std::array;

const LITERALS: usize = 256;
const LENGTH_CODES: usize = 29;
const LITERAL_CODES: usize = LITERALS + 1 + LENGTH_CODES;
const DISTANCE_CODES: usize = 30;
const BIT_LENGTH_CODES: usize = 19;
const MAX_BITS: usize = 15;
const MAX_BIT_LENGTH_BITS: usize = 7;

/// In which order the lengths of the bit length codes are sent.
const ORDER: [usize; BIT_LENGTH_CODES] =
    [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/// How often each symbol of a block occurs.
pub(super) struct Block {
    literals: [u32; LITERAL_CODES],
    distances: [u32; DISTANCE_CODES],
    /// Extra bits of lengths and distances.
    extra: u64,
    symbols: usize,
}

impl Default for Block {
    fn default() -> Self {
        let mut literals = [0; LITERAL_CODES];
        literals[LITERALS] = 1; // the end of the block
        Self { literals, distances: [0; DISTANCE_CODES], extra: 0, symbols: 0 }
    }
}

impl Block {
    /// True if the block is full.
    pub(super) fn add_literal(&mut self, byte: u8) -> bool {
        self.literals[usize::from(byte)] += 1;
        self.symbols += 1;
        self.symbols == super::BLOCK_SYMBOLS
    }

    /// True if the block is full.
    pub(super) fn add_match(&mut self, distance: usize, length: usize) -> bool {
        let (code, extra) = length_code(length);
        self.literals[LITERALS + 1 + code] += 1;
        let (distance_code, more) = distance_code(distance);
        self.distances[distance_code] += 1;
        self.extra += extra + more;
        self.symbols += 1;
        self.symbols == super::BLOCK_SYMBOLS
    }

    /// The bits of the output behind this block of `bytes`, before which there were `bits`.
    pub(super) fn finish(self, bytes: usize, bits: u64) -> u64 {
        let literals = Tree::new(&self.literals, MAX_BITS);
        let distances = Tree::new(&self.distances, MAX_BITS);
        let mut runs = [0; BIT_LENGTH_CODES];
        literals.count_runs(&mut runs);
        distances.count_runs(&mut runs);
        let run_tree = Tree::new(&runs, MAX_BIT_LENGTH_BITS);
        let sent =
            (3..BIT_LENGTH_CODES).rev().find(|i| run_tree.lengths[ORDER[*i]] != 0).unwrap_or(2) + 1;
        let run_extra = 2 * u64::from(runs[16]) + 3 * u64::from(runs[17]) + 7 * u64::from(runs[18]);
        let trees = 14 + 3 * sent as u64 + run_tree.bits(&runs) + run_extra;
        let dynamic =
            trees + literals.bits(&self.literals) + distances.bits(&self.distances) + self.extra;
        let fixed = self.fixed_bits();
        let in_bytes = |bits: u64| (bits + 3 + 7) >> 3;
        let best = in_bytes(dynamic).min(in_bytes(fixed));
        if bytes as u64 + 4 <= best {
            // Header, up to a byte, two lengths of 16 bits, the bytes.
            (bits + 3).div_ceil(8) * 8 + 32 + 8 * bytes as u64
        } else if in_bytes(fixed) == best {
            bits + 3 + fixed
        } else {
            bits + 3 + dynamic
        }
    }

    fn fixed_bits(&self) -> u64 {
        let length = |code: usize| match code {
            144..256 => 9,
            256..280 => 7,
            _ => 8,
        };
        let literals =
            self.literals.iter().enumerate().map(|(code, n)| u64::from(*n) * length(code));
        let distances = self.distances.iter().map(|n| u64::from(*n) * 5);
        literals.sum::<u64>() + distances.sum::<u64>() + self.extra
    }
}

/// The code of a match of 3 to 258 bytes, and how many extra bits it has.
fn length_code(length: usize) -> (usize, u64) {
    match length - 3 {
        short @ 0..8 => (short, 0),
        255 => (28, 0),
        long => coded(long, 2),
    }
}

/// The same for a distance of 1 to 32,768.
fn distance_code(distance: usize) -> (usize, u64) {
    match distance - 1 {
        short @ 0..4 => (short, 0),
        long => coded(long, 1),
    }
}

/// Codes that share a number of extra bits are 2 to the power of `fine`.
fn coded(value: usize, fine: u32) -> (usize, u64) {
    let extra = value.ilog2() - fine;
    (((extra as usize) << fine) + (value >> extra), u64::from(extra))
}

/// The lengths of a Huffman code.
struct Tree {
    lengths: Vec<usize>,
    /// The last symbol that has a code.
    last: usize,
}

/// Symbols, then inner nodes; children know their parent.
struct Nodes {
    frequency: Vec<u32>,
    depth: Vec<u32>,
    parent: Vec<usize>,
}

impl Nodes {
    /// zlib's `smaller`: of equally frequent ones that of the lower tree, and no preference if they are as low.
    fn smaller(&self, a: usize, b: usize) -> bool {
        (self.frequency[a], self.depth[a]) <= (self.frequency[b], self.depth[b])
    }

    /// zlib's `pqdownheap`; the heap begins at 1.
    fn sink(&self, heap: &mut [usize], mut at: usize) {
        let node = heap[at];
        while at * 2 < heap.len() {
            let mut child = at * 2;
            if child + 1 < heap.len() && self.smaller(heap[child + 1], heap[child]) {
                child += 1;
            }
            if self.smaller(node, heap[child]) {
                break;
            }
            heap[at] = heap[child];
            at = child;
        }
        heap[at] = node;
    }
}

impl Tree {
    fn new(counts: &[u32], longest: usize) -> Self {
        let symbols = counts.len();
        let mut nodes =
            Nodes { frequency: counts.to_vec(), depth: vec![0; symbols], parent: vec![0; symbols] };
        let mut heap: Vec<usize> = vec![0];
        heap.extend((0..symbols).filter(|symbol| counts[*symbol] > 0));
        let mut last = heap.last().copied().filter(|_| heap.len() > 1);
        // There are always two codes.
        while heap.len() < 3 {
            let symbol = match last {
                None => 0,
                Some(last @ 0..2) => last + 1,
                Some(_) => 0,
            };
            if last.is_none_or(|last| last < 2) {
                last = Some(symbol);
            }
            heap.push(symbol);
            nodes.frequency[symbol] = 1;
        }
        let last = last.unwrap_or(0);
        (1..=(heap.len() - 1) / 2).rev().for_each(|at| nodes.sink(&mut heap, at));
        // From the least frequent to the root.
        let mut ordered = Vec::with_capacity(2 * symbols);
        while heap.len() > 2 {
            let least = heap[1];
            heap[1] = heap[heap.len() - 1];
            heap.pop();
            nodes.sink(&mut heap, 1);
            let next = heap[1];
            ordered.extend([least, next]);
            let node = nodes.frequency.len();
            nodes.frequency.push(nodes.frequency[least] + nodes.frequency[next]);
            nodes.depth.push(nodes.depth[least].max(nodes.depth[next]) + 1);
            nodes.parent.push(0);
            (nodes.parent[least], nodes.parent[next]) = (node, node);
            heap[1] = node;
            nodes.sink(&mut heap, 1);
        }
        ordered.push(heap[1]);
        Self { lengths: lengths(&nodes, &ordered, symbols, longest), last }
    }

    /// Bits of all symbols, without the extra ones. A code that zlib adds to have two does not count.
    fn bits(&self, counts: &[u32]) -> u64 {
        counts.iter().zip(&self.lengths).map(|(n, length)| u64::from(*n) * *length as u64).sum()
    }

    /// zlib's `scan_tree`: how the lengths are packed.
    fn count_runs(&self, runs: &mut [u32; BIT_LENGTH_CODES]) {
        let lengths = &self.lengths[..=self.last];
        let mut previous = None;
        let mut at = 0;
        while let Some(&length) = lengths.get(at) {
            let most = match length {
                0 => 138,
                _ if previous == Some(length) => 6,
                _ => 7,
            };
            let least = if length == 0 || previous == Some(length) { 3 } else { 4 };
            let run = lengths[at..].iter().take(most).take_while(|other| **other == length).count();
            if run < least {
                runs[length] += run as u32;
            } else if length != 0 {
                runs[length] += u32::from(previous != Some(length));
                runs[16] += 1;
            } else if run <= 10 {
                runs[17] += 1;
            } else {
                runs[18] += 1;
            }
            previous = Some(length);
            at += run;
        }
    }
}

/// zlib's `gen_bitlen`: the depths of the symbols, none above `longest`.
fn lengths(nodes: &Nodes, ordered: &[usize], symbols: usize, longest: usize) -> Vec<usize> {
    let mut depth = vec![0; nodes.frequency.len()];
    let mut of_length: [usize; MAX_BITS + 1] = array::from_fn(|_| 0);
    let mut too_long = 0_usize;
    for node in ordered.iter().rev().skip(1) {
        let bits = depth[nodes.parent[*node]] + 1;
        too_long += usize::from(bits > longest);
        depth[*node] = bits.min(longest);
        if *node < symbols {
            of_length[depth[*node]] += 1;
        }
    }
    if too_long > 0 {
        let mut excess = too_long as i64;
        while excess > 0 {
            let shorter = (1..longest).rev().find(|bits| of_length[*bits] > 0).unwrap_or(1);
            of_length[shorter] -= 1;
            of_length[shorter + 1] += 2;
            of_length[longest] -= 1;
            excess -= 2;
        }
        // The least frequent symbols get the longest codes.
        let mut leaves = ordered.iter().filter(|node| **node < symbols);
        for bits in (1..=longest).rev() {
            for node in leaves.by_ref().take(of_length[bits]) {
                depth[*node] = bits;
            }
        }
    }
    depth.truncate(symbols);
    depth
}
