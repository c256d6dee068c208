//! Memory for weights, in huge pages where the system has them: a step reads all weights in order, and with pages of 4 KiB a
//! tenth of that time is spent on finding where they lie.

use std::cell::RefCell;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::slice;
use std::sync::Arc;

use super::super::groups::{Half, Int4Group, Int8Group, WideInt8Group};
use super::super::lines::Line;
use super::super::stored::ShortLine;

/// A huge page of x86-64, and of aarch64 with pages of 4 KiB.
const HUGE_PAGE: usize = 2 << 20;

/// Bytes asked for at a time: a matrix of a small model is smaller than a huge page. What is not used is never touched, so
/// it takes no memory.
const REGION: usize = 64 << 20;

/// Slabs start at cache lines.
const LINE: usize = 64;

/// Numbers side by side.
///
/// # Safety
/// Any bytes are a value of the type, and none of its bytes is padding.
pub(in crate::models::cpu) unsafe trait Plain:
    Copy + Send + Sync + 'static
{
}

/// Types that are made of these numbers and no padding: the sizes are compared.
macro_rules! plain {
    ($($whole:ty: $bytes:expr),* $(,)?) => {$(
        const _: () = assert!(size_of::<$whole>() == $bytes);
        // SAFETY: integers and floats in arrays and `repr(C)` structures, and the size leaves no room for padding.
        unsafe impl Plain for $whole {}
    )*};
}

plain! {
    u8: 1,
    u64: 8,
    Line: 16 * 4,
    ShortLine: 16 * 2,
    Int4Group<Half>: 2 * 16 * 2 + 16 * 16,
    Int4Group<f32>: 2 * 16 * 4 + 16 * 16,
    Int8Group: 16 * 2 + 16 * 32,
    WideInt8Group: 3 * 16 * 4 + 16 * 32,
}

/// The bytes of elements, in this machine's order.
pub(in crate::models::cpu) fn bytes_mut<E: Plain>(elements: &mut [E]) -> &mut [u8] {
    let bytes = size_of_val(elements);
    // SAFETY: the same memory for the same time; `Plain` has no padding that could not be read, and takes any bytes.
    unsafe { slice::from_raw_parts_mut(elements.as_mut_ptr().cast(), bytes) }
}

/// Where slabs come from.
#[derive(Debug, Default)]
pub(in crate::models::cpu) struct Arena(RefCell<Option<Free>>);

/// The unused rest of a region.
#[derive(Debug)]
struct Free {
    region: Arc<Region>,
    used: usize,
}

/// Memory that its slabs share, zero at first; given back with the last of them.
#[derive(Debug)]
struct Region {
    first: NonNull<u8>,
    size: usize,
    mapping: Mapping,
}

/// A fixed number of elements.
pub(in crate::models::cpu) struct Slab<E> {
    first: NonNull<E>,
    count: usize,
    /// Keeps the memory.
    _region: Arc<Region>,
}

impl Arena {
    /// So many elements, all zero; `None` if there is no memory. They are not touched: memory that is written by several
    /// threads is best first touched by them.
    pub(in crate::models::cpu) fn zeroed<E: Plain>(&self, count: usize) -> Option<Slab<E>> {
        const { assert!(align_of::<E>() <= LINE) };
        let bytes = count.checked_mul(size_of::<E>())?.checked_next_multiple_of(LINE)?;
        let mut free = self.0.borrow_mut();
        let fits = |free: &&mut Free| free.region.size - free.used >= bytes;
        let free = match free.as_mut().filter(fits) {
            Some(_) => free.as_mut()?,
            None => {
                let size = bytes.max(REGION).checked_next_multiple_of(HUGE_PAGE)?;
                free.insert(Free { region: Arc::new(Region::new(size)?), used: 0 })
            }
        };
        // SAFETY: `used + bytes` is at most the region's size, as was just checked or asked for. What lies from there on
        // belongs to no other slab, is zero, and is aligned to a cache line, so to E.
        let first = unsafe { free.region.first.add(free.used) }.cast::<E>();
        free.used += bytes;
        Some(Slab { first, count, _region: Arc::clone(&free.region) })
    }
}

/// What has to be given back: start and size.
#[cfg(target_os = "linux")]
type Mapping = (NonNull<u8>, usize);

#[cfg(target_os = "linux")]
impl Region {
    /// Memory of the system, which is zero and which nobody has touched.
    fn new(size: usize) -> Option<Region> {
        let mapped = size.checked_add(HUGE_PAGE).filter(|_| size > 0)?;
        let (access, kind) =
            (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a new mapping, at a place of the system's choice, touches no other memory.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), mapped, access, kind, -1, 0) };
        let start = NonNull::new(start.cast::<u8>()).filter(|_| start != libc::MAP_FAILED)?;
        let skipped = start.addr().get().next_multiple_of(HUGE_PAGE) - start.addr().get();
        // SAFETY: less than a huge page is skipped, and there is one more than `size`.
        let first = unsafe { start.add(skipped) };
        // SAFETY: advice about memory that was just mapped and belongs to nobody else; it changes no content. Whether it
        // is taken makes no difference but in speed, so its answer is not looked at.
        unsafe {
            libc::madvise(first.as_ptr().cast(), size, libc::MADV_HUGEPAGE);
        }
        Some(Region { first, size, mapping: (start, mapped) })
    }
}

#[cfg(target_os = "linux")]
impl Drop for Region {
    fn drop(&mut self) {
        let (start, mapped) = self.mapping;
        // SAFETY: this is what was mapped, and no slab is left.
        unsafe {
            libc::munmap(start.as_ptr().cast(), mapped);
        }
    }
}

#[cfg(not(target_os = "linux"))]
type Mapping = std::alloc::Layout;

#[cfg(not(target_os = "linux"))]
impl Region {
    fn new(size: usize) -> Option<Region> {
        let layout = Mapping::from_size_align(size, HUGE_PAGE).ok().filter(|l| l.size() > 0)?;
        // SAFETY: the size is not zero.
        let first = NonNull::new(unsafe { std::alloc::alloc_zeroed(layout) })?;
        Some(Region { first, size, mapping: layout })
    }
}

#[cfg(not(target_os = "linux"))]
impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout, and no slab is left.
        unsafe { std::alloc::dealloc(self.first.as_ptr(), self.mapping) };
    }
}

// SAFETY: a region is memory without a thread's mark; nobody reads or writes it but through slabs.
unsafe impl Send for Region {}
// SAFETY: as above.
unsafe impl Sync for Region {}
// SAFETY: a slab owns its elements as a vector would.
unsafe impl<E: Send> Send for Slab<E> {}
// SAFETY: as above.
unsafe impl<E: Sync> Sync for Slab<E> {}

impl<E> Deref for Slab<E> {
    type Target = [E];

    fn deref(&self) -> &[E] {
        // SAFETY: `count` elements lie there, zero or written, and they live as long as the region that the slab keeps.
        unsafe { slice::from_raw_parts(self.first.as_ptr(), self.count) }
    }
}

impl<E> DerefMut for Slab<E> {
    fn deref_mut(&mut self) -> &mut [E] {
        // SAFETY: as above, and no other slab has them.
        unsafe { slice::from_raw_parts_mut(self.first.as_ptr(), self.count) }
    }
}

impl<E> fmt::Debug for Slab<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} elements", self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slabs_are_zero_apart_aligned_and_outlive_their_arena() {
        let arena = Arena::default();
        let slab = |n: usize| arena.zeroed::<u8>(3 * n).expect("memory");
        let mut slabs: Vec<Slab<u8>> = (0..50).map(slab).collect();
        let large = arena.zeroed::<u64>(REGION / 8 + 1).expect("memory");
        drop(arena);
        for (n, slab) in slabs.iter_mut().enumerate() {
            assert_eq!(slab.as_ptr().addr() % LINE, 0);
            assert_eq!(**slab, vec![0; 3 * n]);
            slab.fill(255);
        }
        assert!(large.iter().all(|&number| number == 0));
        slabs.remove(49);
        assert!(slabs.iter().flat_map(|slab| slab.iter()).all(|byte| *byte == 255));
    }

    #[test]
    fn more_memory_than_there_is_is_refused() {
        let arena = Arena::default();
        assert!(arena.zeroed::<u64>(usize::MAX / 16).is_none());
        assert!(arena.zeroed::<u64>(usize::MAX).is_none());
        assert_eq!(arena.zeroed::<u8>(1).expect("memory")[0], 0);
    }

    #[test]
    fn elements_are_their_bytes() {
        let arena = Arena::default();
        let mut lines = arena.zeroed::<Line>(2).expect("memory");
        bytes_mut(&mut lines)[64..68].copy_from_slice(&1.5_f32.to_ne_bytes());
        assert_eq!((lines[0], lines[1].0[0], lines[1].0[1]), (Line::ZERO, 1.5, 0.0));
        assert_eq!(bytes_mut(&mut lines).len(), 128);
    }
}
