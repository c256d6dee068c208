//! The sections of a file of packed weights, taken one by one by the packing code: each must be what the model's
//! configuration asks for at that place, so that a file can decide nothing but the numbers.

use std::cell::RefCell;
use std::collections::VecDeque;

use super::groups::GROUP;
use super::isa::Arena;
use super::lines::Line;
use super::packed::{Kind, Section};
use super::panels::{Packed, Panels};
use crate::model::ModelError;

/// Sections that are still to be taken.
#[derive(Debug)]
pub(super) struct Sections(RefCell<VecDeque<Section>>);

impl Sections {
    pub(super) fn new(sections: &[Section]) -> Sections {
        Sections(RefCell::new(sections.iter().copied().collect()))
    }

    /// Zeros of a matrix in the form of the next section: of that kind or, as packing does where weights do not fit it, f32.
    pub(super) fn panels(
        &self,
        arena: &Arena,
        kind: Kind,
        (outputs, inputs): (usize, usize),
    ) -> Result<Panels, ModelError> {
        let section = self.next()?;
        let groups = !matches!(section.kind, Kind::F32 | Kind::Bf16);
        if section.kind != kind && section.kind != Kind::F32
            || groups && !inputs.is_multiple_of(GROUP)
        {
            return Err(unexpected(section));
        }
        let mut panels = match section.kind {
            Kind::F32 => Panels::F32(Packed::zeroed(arena, outputs, inputs)?),
            Kind::Bf16 => Panels::Bf16(Packed::zeroed(arena, outputs, inputs)?),
            Kind::Int4 => Panels::Int4(Packed::groups(arena, outputs, inputs)?),
            Kind::WideInt4 => Panels::WideInt4(Packed::groups(arena, outputs, inputs)?),
            Kind::Int8 => Panels::Int8(Packed::groups(arena, outputs, inputs)?),
            Kind::WideInt8 => Panels::WideInt8(Packed::groups(arena, outputs, inputs)?),
            Kind::Absent | Kind::Lines => return Err(unexpected(section)),
        };
        match panels.section_mut().1.len() == section.bytes {
            true => Ok(panels),
            false => Err(unexpected(section)),
        }
    }

    /// Takes the next section, which must be that many lines.
    pub(super) fn lines(&self, count: usize) -> Result<(), ModelError> {
        let section = self.next()?;
        let expected = count.checked_mul(size_of::<Line>());
        match section.kind == Kind::Lines && Some(section.bytes) == expected {
            true => Ok(()),
            false => Err(unexpected(section)),
        }
    }

    /// As [`Sections::lines`]; `false` if it is absent.
    pub(super) fn optional_lines(&self, count: usize) -> Result<bool, ModelError> {
        let absent = Section { kind: Kind::Absent, bytes: 0 };
        if self.0.borrow().front() == Some(&absent) {
            return self.next().map(|_| false);
        }
        self.lines(count).map(|()| true)
    }

    /// None may be left.
    pub(super) fn finish(&self) -> Result<(), ModelError> {
        match self.0.borrow().front() {
            None => Ok(()),
            Some(left) => Err(unexpected(*left)),
        }
    }

    fn next(&self) -> Result<Section, ModelError> {
        let missing = || ModelError::Weights("it has too few sections for the model".to_owned());
        self.0.borrow_mut().pop_front().ok_or_else(missing)
    }
}

fn unexpected(section: Section) -> ModelError {
    ModelError::Weights(format!(
        "it has {} bytes of {:?} where the model has no such weights",
        section.bytes, section.kind
    ))
}
