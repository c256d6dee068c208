//! Instruction sets: the same plain Rust, compiled once for each and chosen when the process starts.
//!
//! The arithmetic is written over `[f32; 16]` with `f32::mul_add`. LLVM may not reassociate floating point, so every
//! compiled version yields the same bits; it only decides how many lanes an instruction carries. Sums of integers, which
//! LLVM turns into poor code, are written by hand where that pays.
//!
//! This is the one module of the workspace that holds `unsafe` code: calling a function that was compiled for a larger
//! instruction set, loads and stores of whole registers, and threads that borrow a step's buffers.
#![allow(unsafe_code)]

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod avx_vnni;
mod memory;
mod pool;
#[cfg(target_arch = "x86_64")]
mod tile;
#[cfg(target_arch = "x86_64")]
mod vnni;

use super::groups::{self, Activation, Int4Group, Int8Group, Scale, WideInt8Group};
use super::lines::LANES;
use crate::model::ModelError;
pub(super) use memory::{Arena, Plain, Slab, bytes_mut};
pub(super) use pool::Pool;

/// Name of the environment variable that forces an instruction set.
pub const ISA_VARIABLE: &str = "TEXTNLP_CPU";

/// An instruction set that this processor has: a value exists only after detection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Isa(Level);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    /// What the target guarantees (SSE2 on x86-64, NEON on aarch64).
    Scalar,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// AVX2 with VNNI in its own registers.
    #[cfg(target_arch = "x86_64")]
    AvxVnni,
    /// The same by the instruction of AVX-512VL.
    #[cfg(target_arch = "x86_64")]
    Avx512Vl,
    /// With BW, DQ, VL and VNNI.
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

/// What a step runs on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cores<'a> {
    pub(super) isa: Isa,
    pub(super) pool: &'a Pool,
}

impl Isa {
    /// Every instruction set of this processor, the best one last.
    pub fn available() -> Vec<Isa> {
        let mut all = vec![Isa(Level::Scalar)];
        #[cfg(target_arch = "x86_64")]
        {
            let avx2 = is_x86_feature_detected!("avx2")
                && is_x86_feature_detected!("fma")
                && is_x86_feature_detected!("f16c");
            if avx2 {
                all.push(Isa(Level::Avx2));
            }
            if avx2 && is_x86_feature_detected!("avxvnni") {
                all.push(Isa(Level::AvxVnni));
            }
            let avx512 = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512vnni");
            if avx2 && avx512 {
                all.extend([Isa(Level::Avx512Vl), Isa(Level::Avx512)]);
            }
        }
        all
    }

    /// The one of that name: `scalar`, `avx2`, `avxvnni`, `avx512vl` or `avx512`.
    ///
    /// # Errors
    /// If this processor has none of that name.
    pub fn named(name: &str) -> Result<Isa, ModelError> {
        let all = Isa::available();
        all.iter().find(|isa| isa.name() == name).copied().ok_or_else(|| {
            let names: Vec<_> = all.iter().map(|isa| isa.name()).collect();
            ModelError::Device(format!(
                "instruction set `{name}`: this processor has {}",
                names.join(", ")
            ))
        })
    }

    /// The one that [`ISA_VARIABLE`] names, or else the best.
    ///
    /// # Errors
    /// If the variable names one that this processor does not have.
    pub fn from_environment() -> Result<Isa, ModelError> {
        match std::env::var(ISA_VARIABLE) {
            Ok(name) if !name.is_empty() => Isa::named(&name),
            _ => Ok(*Isa::available().last().unwrap_or(&Isa(Level::Scalar))),
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self.0 {
            Level::Scalar => "scalar",
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Level::AvxVnni => "avxvnni",
            #[cfg(target_arch = "x86_64")]
            Level::Avx512Vl => "avx512vl",
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => "avx512",
        }
    }

    /// Runs the version of a kernel that was compiled for this instruction set.
    pub(super) fn run<K: Kernel>(self, kernel: K) {
        match self.0 {
            Level::Scalar => kernel.run(),
            // SAFETY: these are made only by `available`, after the processor reported AVX2, FMA and F16C.
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 | Level::AvxVnni | Level::Avx512Vl => unsafe { run_avx2(kernel) },
            // SAFETY: made only by `available`, after the processor reported AVX-512F, BW, DQ and VL beside them.
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => unsafe { run_avx512(kernel) },
        }
    }

    /// Rows of the largest tile of quantised weights, at most [`MOST_TILE_ROWS`].
    pub(super) fn quantised_tile_rows(self) -> usize {
        match self.0 {
            // 4 × 2 sums of integers, the weights and a broadcast fit 16 registers.
            Level::Scalar => 4,
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 | Level::AvxVnni | Level::Avx512Vl => 4,
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => avx512::TILE_ROWS,
        }
    }
}

/// Rows of the largest tile on any instruction set.
pub(super) const MOST_TILE_ROWS: usize = 8;

/// Writes the functions that choose a tile.
macro_rules! tiles {
    ($($(#[$doc:meta])* $name:ident($($scale:ident)?) of $group:ty;)*) => {
        impl Isa {
            $($(#[$doc])*
            #[inline(always)]
            pub(super) fn $name<$($scale: Scale,)? const R: usize>(
                self,
                panel: &[$group],
                x: [&[Activation]; R],
            ) -> [[f32; LANES]; R] {
                match self.0 {
                    Level::Scalar => groups::tile(panel, x),
                    // SAFETY: this and the following are made only by `available`, after the processor reported the
                    // features that the functions are compiled for.
                    #[cfg(target_arch = "x86_64")]
                    Level::Avx2 => unsafe { avx2::$name(panel, x) },
                    // SAFETY: as above.
                    #[cfg(target_arch = "x86_64")]
                    Level::AvxVnni => unsafe { avx_vnni::vex::$name(panel, x) },
                    // SAFETY: as above.
                    #[cfg(target_arch = "x86_64")]
                    Level::Avx512Vl => unsafe { avx_vnni::evex::$name(panel, x) },
                    // SAFETY: as above.
                    #[cfg(target_arch = "x86_64")]
                    Level::Avx512 => unsafe { avx512::$name(panel, x) },
                }
            })*
        }
    };
}

tiles! {
    /// The sums of a tile of four-bit weights: each row of `x` has a group for each group of the panel.
    int4_tile(S) of Int4Group<S>;
    /// The sums of a tile of eight-bit weights.
    int8_tile() of Int8Group;
    /// The sums of a tile of eight-bit weights with minima and two scales a group.
    wide_int8_tile() of WideInt8Group;
}

/// Work to be compiled for every instruction set. `run` and all that it calls must be `#[inline(always)]`, since only
/// code inlined into the function with the target feature is compiled for it.
pub(super) trait Kernel {
    /// Does the work.
    fn run(self);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn run_avx2<K: Kernel>(kernel: K) {
    kernel.run();
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")]
fn run_avx512<K: Kernel>(kernel: K) {
    kernel.run();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_instruction_set_is_last_and_found_by_name() {
        for isa in Isa::available() {
            assert_eq!(Isa::named(isa.name()).expect("available"), isa);
        }
        assert_eq!(Isa::available()[0].name(), "scalar");
    }

    #[test]
    fn an_unknown_instruction_set_is_refused_with_those_there_are() {
        let message = Isa::named("mmx").expect_err("there is no such").to_string();
        assert!(message.contains("`mmx`") && message.contains("scalar"), "{message}");
    }
}
