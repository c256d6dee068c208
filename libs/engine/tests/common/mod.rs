//! Models with reproducible random weights, and the calls that tests make of a [`Model`].
#![allow(dead_code)] // each test file uses a part

pub(crate) mod quantised;

use textnlp_engine::model::{Batch, Logits, Model, Outputs, PageId, Span};
use textnlp_engine::models::Tensors;
use textnlp_engine::weights::{
    Architecture, Blocks, Encoding, LayerTensor, Matrix, ModelConfig, TensorRole, WeightsError,
};

/// Weights drawn from a hash of the tensor's number and the element's index, so that the script that makes the goldens
/// draws the same (`make_logits_goldens.py`, `uniform`).
pub(crate) struct RandomTensors {
    pub(crate) config: ModelConfig,
    pub(crate) tied: bool,
    /// A token whose embedding is NaN.
    pub(crate) nan_token: Option<usize>,
    /// Whether the matrices are stored in blocks: see [`quantised::encoding`].
    pub(crate) quantised: bool,
}

/// Two blocks, no size a multiple of 16, three query heads for each key and value head.
pub(crate) fn tiny_llama() -> RandomTensors {
    let config = ModelConfig {
        architecture: Architecture::Llama,
        vocab_size: 203,
        hidden_size: 72,
        layers: 2,
        heads: 6,
        kv_heads: 2,
        head_dim: 12,
        ffn_size: 100,
        context_tokens: 256,
        norm_epsilon: 1e-5,
        rope_theta: 10_000.0,
        rope_factors: None,
    };
    RandomTensors { config, tied: true, nan_token: None, quantised: false }
}

/// SmolLM2's head width and grouping, an untied head, rotary factors.
pub(crate) fn small_llama() -> RandomTensors {
    let factors = (0..32).map(|pair| 1.0 + pair as f32 / 8.0).collect();
    let config = ModelConfig {
        vocab_size: 320,
        hidden_size: 192,
        heads: 3,
        kv_heads: 1,
        head_dim: 64,
        ffn_size: 160,
        rope_factors: Some(factors),
        ..tiny_llama().config
    };
    RandomTensors { config, tied: false, nan_token: None, quantised: false }
}

/// The same in blocks of four and eight bits.
pub(crate) fn quantised_llama() -> RandomTensors {
    RandomTensors { quantised: true, ..small_llama() }
}

pub(crate) fn tiny_gpt2() -> RandomTensors {
    let config = ModelConfig {
        architecture: Architecture::Gpt2,
        vocab_size: 211,
        hidden_size: 60,
        heads: 5,
        kv_heads: 5,
        head_dim: 12,
        ffn_size: 240,
        ..tiny_llama().config
    };
    RandomTensors { config, tied: true, nan_token: None, quantised: false }
}

/// GPT-2 small's exact shape.
pub(crate) fn gpt2_124m() -> RandomTensors {
    let config = ModelConfig {
        vocab_size: 50_257,
        hidden_size: 768,
        layers: 12,
        heads: 12,
        kv_heads: 12,
        head_dim: 64,
        ffn_size: 3072,
        context_tokens: 1024,
        ..tiny_gpt2().config
    };
    RandomTensors { config, tied: true, nan_token: None, quantised: false }
}

impl Tensors for RandomTensors {
    fn config(&self) -> &ModelConfig {
        &self.config
    }

    fn tensor(&self, role: TensorRole) -> Result<Option<Matrix>, WeightsError> {
        let Some((rows, columns)) = self.shape(role) else {
            return Ok(None);
        };
        let (centre, amplitude) = match role {
            TensorRole::TokenEmbedding | TensorRole::PositionEmbedding => (0.0, 0.5),
            _ if is_norm_weight(role) => (1.0, 0.25),
            _ if rows == 1 => (0.0, 0.25),
            _ => (0.0, (3.0 / columns as f64).sqrt()),
        };
        let number = tensor_number(role);
        let mut data: Vec<f32> = (0..(rows * columns) as u64)
            .map(|index| (centre + amplitude * uniform((number << 32) + index)) as f32)
            .collect();
        if let (TensorRole::TokenEmbedding, Some(token)) = (role, self.nan_token) {
            data[token * columns..][..columns].fill(f32::NAN);
        }
        let matrix = Matrix { rows, columns, data };
        Ok(Some(match self.block_encoding(role) {
            Some(encoding) => quantised::decoded(&quantised::blocks(&matrix, encoding)),
            None => matrix,
        }))
    }

    fn encoding(&self, role: TensorRole) -> Option<Encoding> {
        self.shape(role)?;
        Some(self.block_encoding(role).unwrap_or(Encoding::F32))
    }

    fn block_encoding(&self, role: TensorRole) -> Option<Encoding> {
        self.shape(role)?;
        if self.quantised { quantised::encoding(role) } else { None }
    }

    fn blocks(&self, role: TensorRole) -> Result<Option<Blocks>, WeightsError> {
        let Some(encoding) = self.block_encoding(role) else {
            return Ok(None);
        };
        let exact = RandomTensors { config: self.config.clone(), quantised: false, ..*self };
        Ok(exact.tensor(role)?.map(|matrix| quantised::blocks(&matrix, encoding)))
    }
}

impl RandomTensors {
    fn shape(&self, role: TensorRole) -> Option<(usize, usize)> {
        use LayerTensor as T;
        let c = &self.config;
        let gpt2 = c.architecture == Architecture::Gpt2;
        let (q, kv) = (c.heads * c.head_dim, c.kv_heads * c.head_dim);
        let shape = match role {
            TensorRole::TokenEmbedding => (c.vocab_size, c.hidden_size),
            TensorRole::PositionEmbedding if gpt2 => (c.context_tokens, c.hidden_size),
            TensorRole::OutputNormWeight => (1, c.hidden_size),
            TensorRole::OutputNormBias if gpt2 => (1, c.hidden_size),
            TensorRole::Head if !self.tied => (c.vocab_size, c.hidden_size),
            TensorRole::Layer(layer, tensor) if layer < c.layers => match tensor {
                T::AttentionNormWeight | T::FfnNormWeight => (1, c.hidden_size),
                T::AttentionNormBias | T::FfnNormBias if gpt2 => (1, c.hidden_size),
                T::AttentionOutputBias | T::DownBias if gpt2 => (1, c.hidden_size),
                T::QueryBias if gpt2 => (1, q),
                T::KeyBias | T::ValueBias if gpt2 => (1, kv),
                T::UpBias if gpt2 => (1, c.ffn_size),
                T::Query => (q, c.hidden_size),
                T::Key | T::Value => (kv, c.hidden_size),
                T::AttentionOutput => (c.hidden_size, q),
                T::Gate if !gpt2 => (c.ffn_size, c.hidden_size),
                T::Up => (c.ffn_size, c.hidden_size),
                T::Down => (c.hidden_size, c.ffn_size),
                _ => return None,
            },
            _ => return None,
        };
        Some(shape)
    }
}

fn is_norm_weight(role: TensorRole) -> bool {
    use LayerTensor as T;
    matches!(
        role,
        TensorRole::OutputNormWeight
            | TensorRole::Layer(_, T::AttentionNormWeight | T::FfnNormWeight)
    )
}

fn tensor_number(role: TensorRole) -> u64 {
    match role {
        TensorRole::TokenEmbedding => 0,
        TensorRole::PositionEmbedding => 1,
        TensorRole::OutputNormWeight => 2,
        TensorRole::OutputNormBias => 3,
        TensorRole::Head => 4,
        TensorRole::Layer(layer, tensor) => 32 + 32 * layer as u64 + tensor as u64,
    }
}

/// SplitMix64 of a counter, its upper 53 bits in [−1, 1).
pub(crate) fn uniform(counter: u64) -> f64 {
    (splitmix64(counter) >> 11) as f64 / (1u64 << 52) as f64 - 1.0
}

pub(crate) fn splitmix64(counter: u64) -> u64 {
    let mut z = counter.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Tokens of a made-up text.
pub(crate) fn random_tokens(seed: u64, count: usize, vocab_size: usize) -> Vec<u32> {
    (0..count as u64).map(|i| (splitmix64((seed << 40) + i) % vocab_size as u64) as u32).collect()
}

/// Runs one step of one sequence and returns its logits rows.
pub(crate) fn step(
    model: &mut dyn Model,
    tokens: &[u32],
    first_position: usize,
    pages: &[PageId],
    outputs: Outputs,
) -> Vec<Vec<f32>> {
    let span = Span { rows: tokens.len(), first_position, pages, outputs };
    let mut logits = Logits::default();
    model.forward(&Batch { tokens, spans: &[span] }, &mut logits).expect("a valid step");
    rows(&logits, model.info().vocab_size)
}

/// The rows of [`Logits`].
pub(crate) fn rows(logits: &Logits, vocab_size: usize) -> Vec<Vec<f32>> {
    assert_eq!(logits.values.len(), logits.rows * vocab_size);
    logits.values.chunks(vocab_size).map(<[f32]>::to_vec).collect()
}

/// Logits of every position, chunk after chunk of that many tokens.
pub(crate) fn prefill(
    model: &mut dyn Model,
    tokens: &[u32],
    pages: &[PageId],
    chunk: usize,
) -> Vec<Vec<f32>> {
    let mut all = Vec::new();
    for (index, part) in tokens.chunks(chunk).enumerate() {
        all.extend(step(model, part, index * chunk, pages, Outputs::All));
    }
    all
}

/// Fails unless both are the same bits.
#[track_caller]
pub(crate) fn assert_same_bits(got: &[Vec<f32>], expect: &[Vec<f32>], what: &str) {
    assert_eq!(got.len(), expect.len(), "{what}: number of rows");
    for (row, (got, expect)) in got.iter().zip(expect).enumerate() {
        let differs = got.iter().zip(expect).position(|(a, b)| a.to_bits() != b.to_bits());
        if let Some(column) = differs {
            panic!(
                "{what}: row {row}, column {column}: {} instead of {}",
                got[column], expect[column]
            );
        }
        assert_eq!(got.len(), expect.len(), "{what}: row {row}");
    }
}

/// ln Σ exp
pub(crate) fn logsumexp(logits: &[f32]) -> f64 {
    libm::log(logits.iter().map(|&logit| libm::exp(f64::from(logit))).sum())
}

/// Kullback-Leibler divergence of the second row's distribution from the first's.
pub(crate) fn divergence(expect: &[f32], got: &[f32]) -> f64 {
    let (expect_sum, got_sum) = (logsumexp(expect), logsumexp(got));
    let terms = expect.iter().zip(got).map(|(&p, &q)| {
        let log_p = f64::from(p) - expect_sum;
        libm::exp(log_p) * (log_p - (f64::from(q) - got_sum))
    });
    terms.sum()
}

pub(crate) fn first_maximum(logits: &[f32]) -> usize {
    (0..logits.len()).fold(0, |best, id| if logits[id] > logits[best] { id } else { best })
}

#[track_caller]
pub(crate) fn assert_near(
    expect: &[Vec<f32>],
    got: &[Vec<f32>],
    most_divergence: f64,
    least_agreement: f64,
) {
    let rows = expect.len() as f64;
    let pairs = || expect.iter().zip(got);
    let mean = pairs().map(|(expect, got)| divergence(expect, got)).sum::<f64>() / rows;
    let agree = pairs().filter(|(a, b)| first_maximum(a) == first_maximum(b)).count();
    let agreement = agree as f64 / rows;
    assert!(mean < most_divergence, "mean divergence {mean}, top-1 agreement {agreement}");
    assert!(agreement >= least_agreement, "mean divergence {mean}, top-1 agreement {agreement}");
}

/// The real model that `make model` fetches.
pub(crate) fn smollm2_path() -> std::path::PathBuf {
    let variable = |name| std::env::var_os(name).map(std::path::PathBuf::from);
    let path = variable("TEXTNLP_CACHE")
        .or_else(|| variable("XDG_CACHE_HOME").map(|cache| cache.join("textnlp")))
        .or_else(|| variable("HOME").map(|home| home.join(".cache/textnlp")))
        .expect("TEXTNLP_CACHE, XDG_CACHE_HOME or HOME is set")
        .join("models/SmolLM2-135M-Instruct.Q4_1.gguf");
    assert!(path.is_file(), "{} is missing: run `make model`", path.display());
    path
}

/// A LLaMA's tensors under the names of the Hugging Face hub.
pub(crate) fn hugging_face_llama(tensors: &dyn Tensors) -> Vec<(String, Matrix)> {
    use LayerTensor as T;
    let mut roles = vec![
        ("model.embed_tokens.weight".to_owned(), TensorRole::TokenEmbedding),
        ("model.norm.weight".to_owned(), TensorRole::OutputNormWeight),
        ("lm_head.weight".to_owned(), TensorRole::Head),
    ];
    for layer in 0..tensors.config().layers {
        for (name, tensor) in [
            ("input_layernorm", T::AttentionNormWeight),
            ("self_attn.q_proj", T::Query),
            ("self_attn.k_proj", T::Key),
            ("self_attn.v_proj", T::Value),
            ("self_attn.o_proj", T::AttentionOutput),
            ("post_attention_layernorm", T::FfnNormWeight),
            ("mlp.gate_proj", T::Gate),
            ("mlp.up_proj", T::Up),
            ("mlp.down_proj", T::Down),
        ] {
            let role = TensorRole::Layer(layer, tensor);
            roles.push((format!("model.layers.{layer}.{name}.weight"), role));
        }
    }
    let read = |role| tensors.tensor(role).expect("a valid model");
    roles.into_iter().filter_map(|(name, role)| Some((name, read(role)?))).collect()
}
