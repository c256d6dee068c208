//! Memory for weights, in huge pages where the system has them: a step reads all weights in order, and with pages of 4 KiB a
//! tenth of that time is spent on finding where they lie.

use std::alloc::{Layout, alloc, dealloc};
use std::cell::RefCell;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::slice;
use std::sync::Arc;

/// A huge page of x86-64, and of aarch64 with pages of 4 KiB.
const HUGE_PAGE: usize = 2 << 20;

/// Bytes asked for at a time: a matrix of a small model is smaller than a huge page. What is not used is never touched, so
/// it takes no memory.
const REGION: usize = 64 << 20;

/// Slabs start at cache lines.
const LINE: usize = 64;

/// Where slabs come from.
#[derive(Debug, Default)]
pub(in crate::models::cpu) struct Arena(RefCell<Option<Free>>);

/// The unused rest of a region.
#[derive(Debug)]
struct Free {
    region: Arc<Region>,
    used: usize,
}

/// Memory that its slabs share; freed with the last of them.
#[derive(Debug)]
struct Region {
    first: NonNull<u8>,
    layout: Layout,
}

/// A fixed number of elements.
pub(in crate::models::cpu) struct Slab<E> {
    first: NonNull<E>,
    count: usize,
    /// Keeps the memory.
    _region: Arc<Region>,
}

impl Arena {
    /// So many elements, all `value`; `None` if there is no memory.
    pub(in crate::models::cpu) fn filled<E: Copy>(
        &self,
        count: usize,
        value: E,
    ) -> Option<Slab<E>> {
        const { assert!(align_of::<E>() <= LINE) };
        let bytes = count.checked_mul(size_of::<E>())?.checked_next_multiple_of(LINE)?;
        let mut free = self.0.borrow_mut();
        let fits = |free: &&mut Free| free.region.layout.size() - free.used >= bytes;
        let free = match free.as_mut().filter(fits) {
            Some(_) => free.as_mut()?,
            None => {
                let size = bytes.max(REGION).checked_next_multiple_of(HUGE_PAGE)?;
                free.insert(Free { region: Arc::new(Region::new(size)?), used: 0 })
            }
        };
        // SAFETY: `used + bytes` is at most the region's size, as was just checked or asked for.
        let first = unsafe { free.region.first.add(free.used) }.cast::<E>();
        for index in 0..count {
            // SAFETY: `count` elements fit the `bytes` from `first`, which no other slab has; `first` is aligned to a
            // cache line, so to E.
            unsafe { first.add(index).write(value) };
        }
        free.used += bytes;
        Some(Slab { first, count, _region: Arc::clone(&free.region) })
    }
}

impl Region {
    fn new(size: usize) -> Option<Region> {
        let layout = Layout::from_size_align(size, HUGE_PAGE).ok().filter(|l| l.size() > 0)?;
        // SAFETY: the size is not zero.
        let first = NonNull::new(unsafe { alloc(layout) })?;
        #[cfg(target_os = "linux")]
        // SAFETY: advice about memory that was just allocated and belongs to nobody else; it changes no content. Whether
        // it is taken makes no difference but in speed, so its answer is not looked at.
        unsafe {
            libc::madvise(first.as_ptr().cast(), size, libc::MADV_HUGEPAGE);
        }
        Some(Region { first, layout })
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout, and no slab is left.
        unsafe { dealloc(self.first.as_ptr(), self.layout) };
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
        // SAFETY: `count` elements were written there, and they live as long as the region that the slab keeps.
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
    fn slabs_are_apart_aligned_and_outlive_their_arena() {
        let arena = Arena::default();
        let mut slabs: Vec<Slab<[u8; 3]>> =
            (0..50).map(|n| arena.filled(n, [n as u8; 3]).expect("memory")).collect();
        let large = arena.filled(REGION / 8 + 1, 7_u64).expect("memory");
        drop(arena);
        for (n, slab) in slabs.iter_mut().enumerate() {
            assert_eq!(slab.as_ptr().addr() % LINE, 0);
            assert_eq!(**slab, vec![[n as u8; 3]; n]);
            slab.fill([255; 3]);
        }
        assert!(large.iter().all(|&number| number == 7));
        slabs.remove(49);
        assert!(slabs.iter().flat_map(|slab| slab.iter()).all(|three| *three == [255; 3]));
    }

    #[test]
    fn more_memory_than_there_is_is_refused() {
        let arena = Arena::default();
        assert!(arena.filled(usize::MAX / 16, 0_u64).is_none());
        assert!(arena.filled(usize::MAX, 0_u64).is_none());
        assert_eq!(arena.filled(1, 5_u8).expect("memory")[0], 5);
    }
}
