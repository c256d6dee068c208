//! The contract between the scheduler, which owns page ids, and a model, which owns weights and KV memory.

/// Index of a KV page; the scheduler hands them out, the model owns the memory behind them.
pub type PageId = u32;

/// What the scheduler must know of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelInfo {
    /// Number of logits a row has.
    pub vocab_size: usize,
    /// Longest sequence, prompt and completion together, in tokens.
    pub context_tokens: usize,
    /// Tokens that one KV page holds.
    pub page_tokens: usize,
    /// Bytes of one KV page over all layers.
    pub page_bytes: usize,
    /// Most rows (tokens) of one [`Batch`].
    pub max_rows: usize,
    /// Name of the arithmetic, e.g. `cpu-1/f32`.
    pub numerics: String,
    /// Whether a row's logits are the same bits whatever else is in the batch.
    pub batch_invariant: bool,
}

/// For which rows of a span logits are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outputs {
    /// A chunk of a prompt that is not its end.
    None,
    /// Only the span's last row.
    Last,
    /// Every row (perplexity, speculation).
    All,
}

/// Consecutive tokens of one sequence.
#[derive(Debug, Clone, Copy)]
pub struct Span<'a> {
    /// Number of tokens.
    pub rows: usize,
    /// Position in the sequence of the first one.
    pub first_position: usize,
    /// The sequence's pages, from position 0 to beyond the span's end.
    pub pages: &'a [PageId],
    /// Rows that need logits.
    pub outputs: Outputs,
}

/// One step: the tokens of all spans, one after the other.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    /// Token ids; their number is the sum of the spans' rows.
    pub tokens: &'a [u32],
    /// The sequences they belong to. Two spans never write one page.
    pub spans: &'a [Span<'a>],
}

/// Columns of a logits row that share one maximum in [`Logits::block_max`].
pub const LOGITS_BLOCK: usize = 64;

/// Logits of the rows asked for, in batch order. Reused from step to step.
#[derive(Debug, Default, Clone)]
pub struct Logits {
    /// Number of rows.
    pub rows: usize,
    /// `rows × vocab_size`, row-major.
    pub values: Vec<f32>,
    /// `rows × ceil(vocab_size / 64)`: the maximum of each block of [`LOGITS_BLOCK`] columns (NaN if the block has one).
    pub block_max: Vec<f32>,
}

/// Copy of the first `tokens` positions of a page (a shared prefix that ends inside it).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageCopy {
    /// Page to read.
    pub from: PageId,
    /// Page to write.
    pub to: PageId,
    /// Positions to copy, from the page's start.
    pub tokens: usize,
}

/// Why a model could not do a step.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// KV memory could not be had.
    #[error("cannot reserve {pages} KV pages of {page_bytes} bytes: out of memory")]
    Memory {
        /// Pages asked for.
        pages: u32,
        /// Bytes of each.
        page_bytes: usize,
    },
    /// The batch breaks the contract (a programming error of the caller, reported rather than trusted).
    #[error("invalid batch: {0}")]
    Batch(String),
    /// The model's files do not describe a model that can run.
    #[error("{0}")]
    Weights(String),
    /// A device (GPU) failed.
    #[error("device: {0}")]
    Device(String),
}

/// A language model: weights and KV memory in its own layout.
pub trait Model: Send {
    /// Static facts.
    fn info(&self) -> &ModelInfo;
    /// Makes pages `0..pages` usable. Called before the first step, and again with more pages: those that were there keep
    /// their contents, new ones are undefined.
    fn reserve(&mut self, pages: u32) -> Result<(), ModelError>;
    /// Copies partial pages before the next [`Model::forward`].
    fn copy_pages(&mut self, copies: &[PageCopy]) -> Result<(), ModelError>;
    /// Runs one step: stores K and V of every token in its page, and writes the logits asked for.
    fn forward(&mut self, batch: &Batch<'_>, logits: &mut Logits) -> Result<(), ModelError>;
    /// Does each of the tasks `0..count` once, on the model's own threads, which have nothing to do between two steps:
    /// threads beside them would take their cores away. On the calling thread if it has none.
    fn for_each(&self, count: usize, task: &(dyn Fn(usize) + Sync)) {
        (0..count).for_each(task);
    }
}
