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
mod memory;
mod pool;

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
            if avx2 && is_x86_feature_detected!("avx512f") {
                all.push(Isa(Level::Avx512));
            }
        }
        all
    }

    /// The one of that name: `scalar`, `avx2` or `avx512`.
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
            Level::Avx512 => "avx512",
        }
    }

    /// Runs the version of a kernel that was compiled for this instruction set.
    pub(super) fn run<K: Kernel>(self, kernel: K) {
        match self.0 {
            Level::Scalar => kernel.run(),
            // SAFETY: `Isa(Avx2)` is made only by `available`, after the processor reported AVX2, FMA and F16C.
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => unsafe { run_avx2(kernel) },
            // SAFETY: `Isa(Avx512)` is made only by `available`, after the processor reported AVX-512F.
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => unsafe { run_avx512(kernel) },
        }
    }

    /// The sums of a tile of four-bit weights: each row of `x` has a group for each group of the panel.
    #[inline(always)]
    pub(super) fn int4_tile<S: Scale, const R: usize>(
        self,
        panel: &[Int4Group<S>],
        x: [&[Activation]; R],
    ) -> [[f32; LANES]; R] {
        match self.0 {
            Level::Scalar => groups::tile(panel, x),
            // SAFETY: these are made only by `available`, after the processor reported AVX2, FMA and F16C.
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 | Level::Avx512 => unsafe { avx2::int4_tile(panel, x) },
        }
    }

    /// The sums of a tile of eight-bit weights.
    #[inline(always)]
    pub(super) fn int8_tile<const R: usize>(
        self,
        panel: &[Int8Group],
        x: [&[Activation]; R],
    ) -> [[f32; LANES]; R] {
        match self.0 {
            Level::Scalar => groups::tile(panel, x),
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 | Level::Avx512 => unsafe { avx2::int8_tile(panel, x) },
        }
    }

    /// The sums of a tile of eight-bit weights with minima and two scales a group.
    #[inline(always)]
    pub(super) fn wide_int8_tile<const R: usize>(
        self,
        panel: &[WideInt8Group],
        x: [&[Activation]; R],
    ) -> [[f32; LANES]; R] {
        match self.0 {
            Level::Scalar => groups::tile(panel, x),
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 | Level::Avx512 => unsafe { avx2::wide_int8_tile(panel, x) },
        }
    }
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
#[target_feature(enable = "avx512f")]
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
