//! What this machine can do at all, to hold a benchmark's figures against: bytes read from memory and multiply-accumulates a
//! second, on every processor at once. Compiled alone, by `scripts/bench.sh`: `rustc -O limits.rs`. Prints one line of JSON.

use std::sync::Barrier;
use std::time::Instant;

/// Repetitions; the best one counts, since whatever runs beside it only takes away.
const ROUNDS: usize = 7;

/// Seconds of the fastest round of `work`, which every thread does at once.
fn fastest<S: Send>(states: Vec<S>, work: impl Fn(&mut S) + Sync) -> f64 {
    let (threads, begun) = (states.len(), Instant::now());
    let start = Barrier::new(threads);
    let spans: Vec<Vec<(f64, f64)>> = std::thread::scope(|scope| {
        let run = |mut state: S| {
            let (start, work) = (&start, &work);
            move || {
                let round = |_| {
                    start.wait();
                    let first = begun.elapsed().as_secs_f64();
                    work(&mut state);
                    (first, begun.elapsed().as_secs_f64())
                };
                (0..ROUNDS).map(round).collect()
            }
        };
        let handles: Vec<_> = states.into_iter().map(|state| scope.spawn(run(state))).collect();
        handles.into_iter().map(|handle| handle.join().expect("a thread that measures")).collect()
    });
    let seconds = |round: usize| {
        let first = spans.iter().map(|span| span[round].0).fold(f64::MAX, f64::min);
        spans.iter().map(|span| span[round].1).fold(0.0, f64::max) - first
    };
    (0..ROUNDS).map(seconds).fold(f64::MAX, f64::min)
}

/// GB/s that all threads together read from memory.
fn memory(threads: usize) -> f64 {
    const WORDS: usize = 1 << 25; // 256 MiB a thread: more than any cache
    let buffers: Vec<Vec<u64>> = (0..threads).map(|_| (0..WORDS as u64).collect()).collect();
    let seconds = fastest(buffers, |buffer| {
        let mut sums = [0_u64; 32];
        for line in buffer.as_chunks::<32>().0 {
            for (sum, word) in sums.iter_mut().zip(line) {
                *sum ^= word;
            }
        }
        std::hint::black_box(sums);
    });
    (threads * WORDS * 8) as f64 / seconds / 1e9
}

#[cfg(target_arch = "x86_64")]
mod rates {
    use std::arch::asm;

    const LOOPS: u64 = 20_000_000;

    /// One register of sums per chain, so many chains that latency does not count.
    macro_rules! repeated {
        ($name:ident, $macs:expr, $($instruction:literal),+) => {
            pub fn $name(threads: usize) -> f64 {
                let seconds = super::fastest(vec![(); threads], |()| {
                    // SAFETY: the instructions work on registers alone, all of which are declared; AVX2 and FMA were detected.
                    unsafe {
                        asm!("2:", $($instruction,)+ "dec {left}", "jnz 2b", left = inout(reg) LOOPS => _,
                            out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _, out("xmm4") _, out("xmm5") _,
                            out("xmm6") _, out("xmm7") _, out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _,
                            out("xmm12") _, out("xmm13") _, out("xmm14") _, out("xmm15") _, options(nomem, nostack));
                    }
                });
                (threads as u64 * LOOPS * $macs) as f64 / seconds / 1e9
            }
        };
    }

    repeated!(f32_fma, 80,
        "vfmadd231ps ymm0, ymm14, ymm15", "vfmadd231ps ymm1, ymm14, ymm15", "vfmadd231ps ymm2, ymm14, ymm15",
        "vfmadd231ps ymm3, ymm14, ymm15", "vfmadd231ps ymm4, ymm14, ymm15", "vfmadd231ps ymm5, ymm14, ymm15",
        "vfmadd231ps ymm6, ymm14, ymm15", "vfmadd231ps ymm7, ymm14, ymm15", "vfmadd231ps ymm8, ymm14, ymm15",
        "vfmadd231ps ymm9, ymm14, ymm15");

    // As four-bit weights are multiplied: sums of 16 bits.
    repeated!(int8_in_int16, 128,
        "vpmaddubsw ymm8, ymm14, ymm15", "vpaddw ymm0, ymm0, ymm8", "vpmaddubsw ymm9, ymm14, ymm15", "vpaddw ymm1, ymm1, ymm9",
        "vpmaddubsw ymm10, ymm14, ymm15", "vpaddw ymm2, ymm2, ymm10", "vpmaddubsw ymm11, ymm14, ymm15", "vpaddw ymm3, ymm3, ymm11");

    pub fn print(threads: usize) -> String {
        if !is_x86_feature_detected!("avx2") || !is_x86_feature_detected!("fma") {
            return String::new();
        }
        let (f32_rate, int8_rate) = (f32_fma(threads), int8_in_int16(threads));
        format!(", \"f32 GMAC/s\": {f32_rate:.0}, \"int8 GMAC/s\": {int8_rate:.0}")
    }
}

#[cfg(not(target_arch = "x86_64"))]
mod rates {
    pub fn print(_threads: usize) -> String {
        String::new()
    }
}

fn main() {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let memory = memory(threads);
    println!("{{\"threads\": {threads}, \"memory GB/s\": {memory:.1}{}}}", rates::print(threads));
}
