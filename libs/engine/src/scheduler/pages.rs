//! KV pages: which are free, and how many hold each of the others.

use crate::model::PageId;

/// Fewest pages by which KV memory grows.
const SMALLEST_GROWTH: u32 = 64;

/// Asks the model to make pages `0..n` usable; false if it cannot.
pub type Reserve<'a> = dyn FnMut(u32) -> bool + 'a;

/// Reference counts of the pages that the model has reserved.
#[derive(Debug)]
pub(super) struct Pages {
    /// Holders of each usable page: sequences, and the prefix tree.
    holders: Vec<u32>,
    free: Vec<PageId>,
    /// Most pages that may become usable.
    limit: u32,
}

impl Pages {
    pub(super) fn new(limit: u32) -> Pages {
        Pages { holders: Vec::new(), free: Vec::new(), limit }
    }

    /// Pages that the model has reserved.
    pub(super) fn usable(&self) -> usize {
        self.holders.len()
    }

    /// Pages that may still be reserved.
    pub(super) fn growable(&self) -> usize {
        (self.limit as usize).saturating_sub(self.holders.len())
    }

    pub(super) fn limit(&self) -> usize {
        self.limit as usize
    }

    pub(super) fn free(&self) -> usize {
        self.free.len()
    }

    pub(super) fn holders(&self, page: PageId) -> u32 {
        self.holders[page as usize]
    }

    /// A free page, held once.
    pub(super) fn take(&mut self) -> Option<PageId> {
        let page = self.free.pop()?;
        self.holders[page as usize] = 1;
        Some(page)
    }

    pub(super) fn hold(&mut self, page: PageId) {
        self.holders[page as usize] += 1;
    }

    /// One holder fewer; returns how many are left. Without any the page is free.
    pub(super) fn release(&mut self, page: PageId) -> u32 {
        let holders = &mut self.holders[page as usize];
        *holders -= 1;
        if *holders == 0 {
            self.free.push(page);
        }
        *holders
    }

    /// Has the model reserve half as many pages again. If it cannot, what there is becomes the limit.
    pub(super) fn grow(&mut self, reserve: &mut Reserve<'_>) -> bool {
        let usable = self.holders.len() as u32;
        let wanted = usable.saturating_add((usable / 2).max(SMALLEST_GROWTH)).min(self.limit);
        if wanted <= usable {
            return false;
        }
        if !reserve(wanted) {
            self.limit = usable;
            return false;
        }
        self.holders.resize(wanted as usize, 0);
        // The lowest id is taken first, so that pages in use lie close together.
        self.free.extend((usable..wanted).rev());
        true
    }
}
